"""Evaluation: how sure it is that the model is good enough, what went wrong and why, and the strong model beside it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.widget import Widget
from textual.widgets import OptionList, Static, TabbedContent, TabPane

from core.wizard.answers import SESSION
from tui.results.failures import (
    Failure,
    failure_head,
    failure_lines,
    failure_sides,
    failures,
    flaky_tests,
    next_step,
)
from tui.results.figures import compared, figures
from tui.results.panel import ResultPanel
from tui.results.scores import SetScores, sets_in
from tui.safe_text import one_line, safe
from tui.screens.conversation import ConversationScreen, FailedConversation
from tui.widgets.side_by_side import SideBySide


class EvaluationResult(ResultPanel):
    """Scores of the sets over failures, comparison and figures."""

    DEFAULT_CSS = """
    EvaluationResult TabbedContent { height: 1fr; }
    EvaluationResult TabPane { padding: 1 0 0 0; height: 1fr; }
    EvaluationResult .next { height: auto; width: 1fr; color: $text-accent; margin: 0 0 1 0; }
    EvaluationResult .beside { height: 1fr; }
    EvaluationResult OptionList {
        border: none; padding: 0; background: transparent; width: 5fr; height: 1fr; text-wrap: nowrap; text-overflow: ellipsis;
    }
    EvaluationResult .detail { width: 6fr; height: 1fr; padding: 0 0 0 2; border-left: vkey $panel; }
    EvaluationResult TabPane > VerticalScroll > Static { width: 1fr; height: auto; }
    """

    def compose(self) -> ComposeResult:
        if not sets_in(self.outputs.summary):
            yield from super().compose()
            return
        yield SetScores(self.outputs.summary, self.outputs.gates, id="gates")
        yield from self.body()

    def body(self) -> Iterator[Widget]:
        summary = self.outputs.summary
        if summary.get("retrained") is False:
            yield Static("The model of step 3 is the final one; it was not trained again.", classes="facts")
        elif not sets_in(summary):
            yield from super().body()
        if not sets_in(summary):
            return
        self._failures = failures(summary, self.path("results") if "results" in self.outputs.files else None)
        if advice := next_step(summary):
            yield Static(Content.assemble(("next  ", "bold"), safe(advice, 600)), classes="next")
        with TabbedContent():
            with TabPane(f"Failures {len(self._failures)}"):
                yield from self._what_went_wrong()
            if summary.get("comparison"):
                with TabPane("Beside the strong model"), VerticalScroll():
                    yield Static(compared(summary), id="compared")
            with TabPane("Speed and cost"), VerticalScroll():
                yield Static(figures(summary), id="figures")
            if flaky := flaky_tests(summary):
                with TabPane(f"Flaky {len(flaky)}"), VerticalScroll():
                    yield Static(_flaky(flaky), id="flaky")

    def _what_went_wrong(self) -> Iterator[Widget]:
        if not self._failures:
            yield Static(Content.styled("Nothing went wrong", "bold"))
            return
        with Horizontal(classes="beside"):
            yield OptionList(*failure_lines(self._failures), id="turns")
            yield SideBySide(id="turn").add_class("detail")

    def on_mount(self) -> None:
        if self.query("#turns"):
            self.take_focus("#turns")

    @on(OptionList.OptionHighlighted, "#turns")
    def _show_turn(self, event: OptionList.OptionHighlighted) -> None:
        if event.option.id is not None:
            found = self._conversation(self._failures[int(event.option.id)])
            self.query_one("#turn", SideBySide).show(found.sides, found.head)

    @on(OptionList.OptionSelected, "#turns")
    def _open_turn(self, event: OptionList.OptionSelected) -> None:
        """The conversation over the whole screen."""
        if event.option.id is not None:
            shown = [self._conversation(failure) for failure in self._failures]
            self.app.push_screen(ConversationScreen(shown, int(event.option.id), f"{self.session.id} · failures"))

    def _conversation(self, failure: Failure) -> FailedConversation:
        played = self._played(failure.set).get(failure.test)
        file = Path(self.session.model(SESSION).assistant) / failure.test.partition("::")[0]
        return FailedConversation(failure_head(failure), failure_sides(failure, played), file, failure.line or 1)

    @cache  # noqa: B019 one panel, gone with the screen
    def _played(self, name: str) -> Mapping[str, Any]:
        """What the failed tests of a set expect beside what came; {} in runs of before."""
        try:
            found = json.loads((self.path("results") / f"{name}_sides.json").read_text(encoding="utf-8"))
        except (KeyError, OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}


def _flaky(tests: list[tuple[str, str]]) -> Content:
    head = Content.styled(
        "These pass in some of their runs only. Look at them before you trust a change of a point or two.\n", "$muted"
    )
    lines = [Content.assemble(("~ ", "$text-warning"), one_line(test), (f"  {name}", "$muted")) for name, test in tests]
    return Content("\n").join([head, *lines])
