"""Coverage review: flows with their bars beside their YAML, commands, tests with what went wrong."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from textual import on
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.widget import Widget
from textual.widgets import OptionList, Static, TabbedContent, TabPane
from textual.widgets.option_list import Option

from core.wizard.answers import SESSION
from tui.results.panel import ResultPanel
from tui.widgets.bars import bar
from tui.widgets.source import source


class CoverageResult(ResultPanel):
    """Three tabs over what the tests reached."""

    DEFAULT_CSS = """
    CoverageResult TabbedContent { height: 1fr; }
    CoverageResult TabPane { padding: 1 0 0 0; height: 1fr; }
    CoverageResult OptionList { border: none; padding: 0; background: transparent; width: 46; height: 1fr; }
    CoverageResult #tests { width: 56; }
    CoverageResult .detail { width: 1fr; height: 1fr; padding: 0 0 0 2; border-left: vkey $panel; }
    CoverageResult .detail Static { width: auto; height: auto; }
    """

    needs = ("passed", "failed", "undecided", "flows", "commands", "commands_from")

    def body(self) -> Iterator[Widget]:
        summary = self.outputs.summary
        yield Static(_counts(summary), classes="facts")
        with TabbedContent():
            with TabPane("Flows"), Horizontal(classes="beside"):
                worst_first = sorted(summary["flows"], key=lambda flow: flow["coverage"])
                yield OptionList(*(Option(_flow_line(flow), id=flow["flow"]) for flow in worst_first), id="flows")
                with VerticalScroll(classes="detail", id="yaml-scroll"):
                    yield Static("", id="yaml")
            with TabPane("Commands"), VerticalScroll():
                yield Static(command_bars(summary["commands"]))
            with TabPane("Tests"), Horizontal(classes="beside"):
                yield OptionList(*_test_lines(summary), id="tests")
                with VerticalScroll(classes="detail"):
                    yield Static("", id="report")

    @on(OptionList.OptionHighlighted, "#flows")
    def _show_flow(self, event: OptionList.OptionHighlighted) -> None:
        flow = next(flow for flow in self.outputs.summary["flows"] if flow["flow"] == event.option.id)
        self.query_one("#yaml", Static).update(self._yaml(flow))
        first_missed = flow["lines"][0][0] - flow["span"][0] if flow["lines"] else 0
        self.call_after_refresh(self.query_one("#yaml-scroll").scroll_to, y=max(0, first_missed - 2), animate=False)

    def _yaml(self, flow: Mapping[str, Any]) -> Content:
        """The flow as written, lines no test reached marked."""
        path = Path(self.session.model(SESSION).assistant) / flow["file"]
        try:
            text = path.read_text(encoding="utf-8")
        except OSError as error:
            return Content(f"{path} cannot be read: {error.strerror}")
        missed = {line for first, last in flow["lines"] for line in range(first, last + 1)}
        first, last = flow["span"]
        return source(text, "yaml", first, last, missed)

    @on(OptionList.OptionHighlighted, "#tests")
    def _show_test(self, event: OptionList.OptionHighlighted) -> None:
        reports = json.loads(self.path("failures").read_text(encoding="utf-8"))
        text = reports.get(event.option.id)
        shown = report(text) if text else Content.styled("every check held", "$muted")
        self.query_one("#report", Static).update(shown)


def _counts(summary: Mapping[str, Any]) -> Content:
    failed, undecided = len(summary["failed"]), len(summary["undecided"])
    return Content.assemble(
        (f"{len(summary['passed'])} tests passed", "bold"),
        (f"   {failed} failed", "$text-error" if failed else "$muted"),
        (f"   {undecided} undecided", "$text-warning" if undecided else "$muted"),
        (f"   commands from {Path(summary['commands_from']).name}", "$muted"),
    )


def _flow_line(flow: Mapping[str, Any]) -> Content:
    share = flow["coverage"]
    colour = "$text-success" if share >= 0.8 else "$text-warning" if share >= 0.5 else "$text-error"
    name = flow["flow"] if len(flow["flow"]) <= 20 else flow["flow"][:19] + "…"
    return Content.assemble(f"{name:<21}", bar(share, 12, colour), f" {share:4.0%} of {flow['steps']}")


def command_bars(commands: Mapping[str, int]) -> Content:
    """A histogram, most frequent first."""
    most, width = max(commands.values(), default=1), max((len(name) for name in commands), default=0)
    lines = [
        Content.assemble((f"{name:<{width}}  ", "$muted"), bar(count / most, 40), f" {count}")
        for name, count in commands.items()
    ]
    return Content("\n").join(lines)


def _test_lines(summary: Mapping[str, Any]) -> Iterator[Option]:
    """Failed tests first."""
    for key, mark, colour in (
        ("failed", "✗", "$text-error"),
        ("undecided", "?", "$text-warning"),
        ("passed", "✓", "$text-success"),
    ):
        for entry in summary[key]:
            file, _, name = entry["test"].partition("::")
            text = Content.assemble((f"{mark} ", colour), name, (f"  {Path(file).name}", "$faint"))
            yield Option(text, id=entry["test"])


def report(text: str) -> Content:
    """A failure report, its expected and actual lines in colour."""
    colours = {"+": "$text-success", "-": "$text-error"}
    return Content("\n").join([Content.styled(line, colours.get(line[:1], "")) for line in text.splitlines()])
