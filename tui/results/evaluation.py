"""Evaluation: pass rates as bars, and each failed test with what the model said instead."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from textual import on
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.widget import Widget
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from tui.results.panel import ResultPanel
from tui.widgets.bars import bar

SETS = ("validation", "training")


class EvaluationResult(ResultPanel):
    """Both sets of tests; failures in a list, expected and predicted commands beside it."""

    DEFAULT_CSS = """
    EvaluationResult .beside { height: 1fr; }
    EvaluationResult OptionList { border: none; padding: 0; background: transparent; width: 46; height: 1fr; }
    EvaluationResult .detail { width: 1fr; height: 1fr; padding: 0 0 0 2; border-left: vkey $panel; }
    """

    def body(self) -> Iterator[Widget]:
        if self.outputs.summary.get("retrained") is False:
            yield Static("The model of step 3 is the final one; it was not trained again.", classes="facts")
            return
        self._turns = list(self._wrong_turns())
        yield Static(rates(self.outputs.summary), classes="facts")
        yield Static(
            Content.styled("What went wrong" if self._turns else "Nothing went wrong", "bold"), classes="facts"
        )
        with Horizontal(classes="beside"):
            yield OptionList(*(Option(_line(turn), id=str(at)) for at, turn in enumerate(self._turns)), id="turns")
            with VerticalScroll(classes="detail"):
                yield Static("", id="turn")

    def _wrong_turns(self) -> Iterator[dict[str, Any]]:
        if "results" not in self.outputs.files:
            return
        for name in SETS:
            path = self.path("results") / f"{name}_wrong_turns.jsonl"
            if path.exists():
                for line in path.read_text(encoding="utf-8").splitlines():
                    yield {**json.loads(line), "set": name}

    @on(OptionList.OptionHighlighted, "#turns")
    def _show_turn(self, event: OptionList.OptionHighlighted) -> None:
        turn = self._turns[int(str(event.option.id))]
        self.query_one("#turn", Static).update(
            Content.assemble(
                (f"{turn['test']}\n", "$muted"), (f"turn {turn['turn']}, {turn['set']} test\n\n", "$muted"),
                ("user\n", "bold $text-accent"), f"{turn['user']}\n\n",
                ("expected\n", "bold $text-accent"), (f"{turn['expected'] or 'not known: another way led here'}\n\n", "$text-success"),
                ("predicted\n", "bold $text-accent"), (f"{turn['predicted'] or 'nothing'}", "$text-error"),
            )
        )  # fmt: skip


def rates(summary: Mapping[str, Any]) -> Content:
    """A bar a set of tests."""
    lines = []
    for name in SETS:
        found = summary.get(name)
        if found and found["tests"]:
            share = found["passed"] / found["tests"]
            lines.append(
                Content.assemble(
                    (f"{name:<11}", "$muted"), bar(share, 30), (f" {share:.1%}", "bold"),
                    (f"  {found['passed']} of {found['tests']} tests", ""),
                    (_exactly(found), "$muted"),
                )
            )  # fmt: skip
    return Content("\n").join(lines)


def _exactly(found: Mapping[str, Any]) -> str:
    """How many messages were understood to the letter, where the engine tells."""
    if not found["turns"]:
        return ""
    return f"   {found['turns_exactly_as_expected']} of {found['turns']} messages exactly"


def _line(turn: Mapping[str, Any]) -> Content:
    mark = ("validation  ", "$text-warning") if turn["set"] == "validation" else ("training    ", "$muted")
    return Content.assemble(mark, str(turn["user"])[:32])
