"""Coverage review: flows with their bars beside their YAML, commands, tests with what went wrong."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from textual import on
from textual.containers import Horizontal, ScrollableContainer, Vertical, VerticalScroll
from textual.content import Content
from textual.widget import Widget
from textual.widgets import OptionList, Static, TabbedContent, TabPane
from textual.widgets.option_list import Option

from core.e2e.side_by_side import sides_from
from core.wizard.answers import SESSION
from tui.results.panel import ResultPanel
from tui.safe_text import one_line, safe
from tui.screens.conversation import ConversationScreen, FailedConversation
from tui.screens.flow_tests import FlowScreen
from tui.widgets.bars import bar
from tui.widgets.side_by_side import SideBySide
from tui.widgets.source import source

_NAME = 18
"""Columns of a flow's name in the table."""


class CoverageResult(ResultPanel):
    """Three tabs over what the tests reached."""

    DEFAULT_CSS = """
    CoverageResult TabbedContent { height: 1fr; }
    CoverageResult TabPane { padding: 1 0 0 0; height: 1fr; }
    CoverageResult OptionList {
        border: none; padding: 0; background: transparent; width: 49; height: 1fr; text-wrap: nowrap; text-overflow: ellipsis;
    }
    CoverageResult #tests { width: 2fr; max-width: 56; }
    CoverageResult .detail { width: 1fr; height: 1fr; padding: 0 0 0 2; border-left: vkey $panel; }
    CoverageResult .detail Static { width: auto; height: auto; }
    CoverageResult #sides { width: 3fr; }
    CoverageResult #sides Static { width: 1fr; }
    CoverageResult #flow-told { width: 1fr; height: 1; text-wrap: nowrap; text-overflow: ellipsis; }
    CoverageResult #yaml-scroll { height: 1fr; }
    """

    needs = ("passed", "failed", "undecided", "flows", "commands", "commands_from")

    def body(self) -> Iterator[Widget]:
        summary = self.outputs.summary
        not_passed = len(summary["failed"]) + len(summary["undecided"])
        yield Static(_counts(summary), classes="facts")
        with TabbedContent():
            with TabPane("Flows"), Horizontal(classes="beside"):
                yield OptionList(*(Option(_flow_line(flow), id=str(at)) for at, flow in enumerate(self._flows)), id="flows")
                with Vertical(classes="detail"):
                    yield Static("", id="flow-told")
                    with ScrollableContainer(id="yaml-scroll"):
                        yield Static("", id="yaml")
            with TabPane("Commands"), VerticalScroll():
                yield Static(command_bars(summary["commands"]), id="commands")
            with TabPane(f"Tests {not_passed} not passed" if not_passed else "Tests"), Horizontal(classes="beside"):
                yield OptionList(*_test_lines(summary), id="tests")
                yield SideBySide(id="sides").add_class("detail")

    def on_mount(self) -> None:
        self.take_focus("#flows")

    # Flows

    @cached_property
    def _flows(self) -> list[Mapping[str, Any]]:
        """The worst first."""
        return sorted(self.outputs.summary["flows"], key=lambda flow: flow["coverage"])

    @on(OptionList.OptionHighlighted, "#flows")
    def _show_flow(self, event: OptionList.OptionHighlighted) -> None:
        flow = self._flows[int(str(event.option.id))]
        told = f"{flow['missing']} missed; enter: a test to write" if flow["missing"] else "every step is reached"
        self.query_one("#flow-told", Static).update(Content.styled(told, "$text-warning" if flow["missing"] else "$muted"))
        self.query_one("#yaml", Static).update(self._yaml(flow))
        first_missed = flow["lines"][0][0] - flow["span"][0] if flow["lines"] else 0
        self.call_after_refresh(self.query_one("#yaml-scroll").scroll_to, y=max(0, first_missed - 2), animate=False)

    def _yaml(self, flow: Mapping[str, Any]) -> Content:
        """The flow as written, lines no test reached marked."""
        path = Path(self.session.model(SESSION).assistant) / flow["file"]
        try:
            text = path.read_text(encoding="utf-8", errors="replace")
        except OSError as error:
            return Content(f"{one_line(str(path))} cannot be read: {error.strerror}")
        missed = {line for first, last in flow["lines"] for line in range(first, last + 1)}
        first, last = flow["span"]
        return source(text, "yaml", first, last, missed, dedent=True)

    @on(OptionList.OptionSelected, "#flows")
    def _open_flow(self, event: OptionList.OptionSelected) -> None:
        self.app.push_screen(FlowScreen(self.session, self._flows[int(str(event.option.id))]))

    # Tests

    @on(OptionList.OptionHighlighted, "#tests")
    def _show_test(self, event: OptionList.OptionHighlighted) -> None:
        found = self._conversation(str(event.option.id))
        self.query_one("#sides", SideBySide).show(found.sides, found.head)

    @on(OptionList.OptionSelected, "#tests")
    def _open_test(self, event: OptionList.OptionSelected) -> None:
        failed = [entry["test"] for key in ("failed", "undecided") for entry in self.outputs.summary[key]]
        if event.option.id in failed:
            shown = [self._conversation(test) for test in failed]
            self.app.push_screen(ConversationScreen(shown, failed.index(event.option.id), f"{self.session.id} · failed tests"))

    def _conversation(self, test: str) -> FailedConversation:
        file, _, name = test.partition("::")
        reports, sides = self._reports, self._sides
        head = Content.assemble((one_line(name), "bold"), (f"  {one_line(file)}", "$faint"))
        if test in self._reasons:
            head += Content.styled("\n" + safe(self._reasons[test], 600), "$text-warning")
        else:
            head += Content.styled("\nevery check held", "$muted")
        if test not in sides and (text := reports.get(test)):
            head += Content("\n\n") + report(text)
        found = sides_from(sides[test]) if test in sides else None
        line = next((turn.line for turn in found.turns if turn.differs), found.turns[0].line if found.turns else 1) if found else 1
        return FailedConversation(head, found, Path(self.session.model(SESSION).assistant) / file, line)

    @cached_property
    def _reasons(self) -> dict[str, str]:
        return {entry["test"]: entry.get("reason", "") for key in ("failed", "undecided") for entry in self.outputs.summary[key]}

    @cached_property
    def _reports(self) -> dict[str, str]:
        return self._read("failures")

    @cached_property
    def _sides(self) -> dict[str, Any]:
        return self._read("sides")

    def _read(self, name: str) -> dict[str, Any]:
        """A file of the run by test; {} where it is not there, as in runs of before."""
        try:
            found = json.loads(self.path(name).read_text(encoding="utf-8"))
        except (KeyError, OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}


def _counts(summary: Mapping[str, Any]) -> Content:
    passed, failed, undecided = (len(summary[key]) for key in ("passed", "failed", "undecided"))
    return Content.assemble(
        (f"{passed:,} {'test' if passed == 1 else 'tests'} passed", "bold"),
        (f"   {failed} failed", "$text-error" if failed else "$muted"),
        (f"   {undecided} undecided", "$text-warning" if undecided else "$muted"),
        (f"   commands from {one_line(Path(summary['commands_from']).name, 60)}", "$muted"),
    )


def _flow_line(flow: Mapping[str, Any]) -> Content:
    share, missing = flow["coverage"], flow["missing"]
    colour = "$text-success" if share >= 0.8 else "$text-warning" if share >= 0.5 else "$text-error"
    name = Content(one_line(flow["flow"], 80)).truncate(_NAME, ellipsis=True, pad=True)
    steps = (f"  {missing} of {flow['steps']} missed", "$text-warning") if missing else (f" of {flow['steps']}", "$muted")
    return Content.assemble(name, " ", bar(share, 8, colour), f" {share:4.0%}", steps)


def command_bars(commands: Mapping[str, int]) -> Content:
    """A histogram, most frequent first."""
    if not commands:
        return Content.styled("no command: no test passed, or none of its messages was understood as anything", "$muted")
    most, width = max(commands.values()), max(len(name) for name in commands)
    lines = [
        Content.assemble((f"{name:<{width}}  ", "$muted"), bar(count / most, 40), f" {count:,}")
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
            text = Content.assemble((f"{mark} ", colour), one_line(name, 200), (f"  {one_line(Path(file).name, 80)}", "$faint"))
            yield Option(text, id=entry["test"])


def report(text: str) -> Content:
    """A failure report, its expected and actual lines in colour."""
    colours = {"+": "$text-success", "-": "$text-error"}
    return Content("\n").join([Content.styled(safe(line), colours.get(line.strip()[:1], "")) for line in text.splitlines()])
