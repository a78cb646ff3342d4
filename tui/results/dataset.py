"""Data preparation: what came of the tests, what it is worth, how it is spread. The rows themselves have a screen of their own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from textual import work
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Label, Static, TabbedContent, TabPane
from textual.worker import get_current_worker

from core.dataset.beginning import ENOUGH
from core.errors import CalmtuneError
from core.wizard.row_review import RowReview
from tui.results.panel import ResultPanel
from tui.results.quality import quality
from tui.results.spread import spread
from tui.results.thin import thin
from tui.safe_text import safe


class DatasetResult(ResultPanel):
    """Quality of the rows, and their spread over flows, commands and slots."""

    DEFAULT_CSS = """
    DatasetResult TabbedContent { height: 1fr; }
    DatasetResult TabPane { padding: 1 0 0 0; height: 1fr; }
    DatasetResult TabPane Static { width: 1fr; height: auto; }
    DatasetResult #decisions {
        height: auto; width: 1fr; margin: 0 0 1 0; padding: 0 1; color: $text-warning; border-left: outer $warning;
        background: $surface; display: none;
    }
    """

    needs = ("command_annotation", "rephrasing", "split")

    def body(self) -> Iterator[Widget]:
        summary = self.outputs.summary
        split = summary["split"]
        yield Static(road(summary), classes="facts")
        yield Label("", id="decisions", markup=False)
        with TabbedContent():
            with TabPane("Quality"), VerticalScroll():
                yield Static(quality(summary), id="quality")
            if few := split.get("thin"):
                with TabPane(f"Thin {len(few)}"), VerticalScroll():
                    yield Static(thin(split), id="thin")
            for title, key in (("Flows", "flows"), ("Commands", "command_types"), ("Slots", "slots")):
                with TabPane(title), VerticalScroll():
                    yield Static(spread(split[key]["train"], split[key]["validation"], _thin_of(split, title)))

    def on_mount(self) -> None:
        self._tell_decisions()

    @work(thread=True, exclusive=True, exit_on_error=False, group="decisions")
    def _tell_decisions(self) -> None:
        """What running again would make of decisions that are not applied yet."""
        worker = get_current_worker()
        try:
            outlook = RowReview(self.session, prompts=False).outlook()
        except (CalmtuneError, OSError) as error:
            outlook = str(error)
        if outlook and not worker.is_cancelled:
            self.app.call_from_thread(self._show_decisions, outlook)

    def _show_decisions(self, outlook: str) -> None:
        label = self.query_one("#decisions", Label)
        label.update(safe(outlook))
        label.display = True


def _thin_of(split: Mapping[str, Any], title: str) -> set[str]:
    """Names of a kind, as its tab is called, that few tests hold."""
    named = (entry.partition(" ") for entry in split.get("thin") or ())
    return {name for kind, _, name in named if title == f"{kind.capitalize()}s"}


def road(summary: Mapping[str, Any]) -> Content:
    """From tests to rows in one line each."""
    annotation, rephrasing, split = summary["command_annotation"], summary["rephrasing"], summary["split"]
    steps = [
        (f"{annotation['passing']:,}", "tests annotated", f"{annotation['annotated_user_steps']:,} messages"),
        (f"{rephrasing['passing']:,}", "wordings kept", f"of {rephrasing['candidates']:,}"),
        (f"{split['train_points']:,}", "rows to train on", f"from {split['train_tests']} tests"),
        (f"{split['val_points']:,}", "rows to validate on", f"from {split['val_tests']} tests{_set_aside(split)}"),
    ]
    lines = [
        Content.assemble((f"{count:>7}", "bold"), f"  {what:<21}", (more, "$muted")) for count, what, more in steps
    ]
    if (share := summary.get("llm_data", {}).get("shared_beginning")) is not None:
        lines.append(_shared(share))
    return Content("\n").join(lines)


def _set_aside(split: Mapping[str, Any]) -> str:
    """Tests that no row is made of, kept for the end."""
    return f"; {split['golden_tests']} more set aside" if split.get("golden_tests") else ""


def _shared(share: float) -> Content:
    """How much prompts have in common, and what to do when it is little."""
    count = (f"{f'{100 * share:.0f} %':>7}", "bold")
    if share >= ENOUGH:
        return Content.assemble(count, f"  {'of prompts shared':<21}", ("from the beginning: computed once", "$muted"))
    advice = "little: flows first in the template, the conversation last"
    return Content.assemble(count, f"  {'of prompts shared':<21}", (advice, "$text-warning"))
