"""Data preparation: what came of the tests, how it is spread, and the rows themselves."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

from textual import on
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.widget import Widget
from textual.widgets import OptionList, Static, TabbedContent, TabPane
from textual.widgets.option_list import Option

from core.dataset.beginning import ENOUGH
from tui.results.panel import ResultPanel
from tui.widgets.bars import bar

MOST_ROWS = 2000
"""Rows listed of a file; more would only slow the list down."""


class DatasetResult(ResultPanel):
    """Spread over flows, commands and slots; rows as conversation, prompt and commands."""

    DEFAULT_CSS = """
    DatasetResult TabbedContent { height: 1fr; }
    DatasetResult TabPane { padding: 1 0 0 0; height: 1fr; }
    DatasetResult OptionList { border: none; padding: 0; background: transparent; width: 46; height: 1fr; }
    DatasetResult .detail { width: 1fr; height: 1fr; padding: 0 0 0 2; border-left: vkey $panel; }
    """

    needs = ("command_annotation", "rephrasing", "split")

    def body(self) -> Iterator[Widget]:
        summary = self.outputs.summary
        split = summary["split"]
        yield Static(road(summary), classes="facts")
        with TabbedContent():
            for title, key in (("Flows", "flows"), ("Commands", "command_types"), ("Slots", "slots")):
                with TabPane(title), VerticalScroll():
                    yield Static(spread(split[key]["train"], split[key]["validation"]))
            with TabPane("Rows"), Horizontal(classes="beside"):
                yield OptionList(*self._row_lines(), id="rows")
                with VerticalScroll(classes="detail"):
                    yield Static("", id="row")

    @cached_property
    def _rows(self) -> list[dict[str, Any]]:
        lines = self.path("train_rows").read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines[:MOST_ROWS]]

    def _row_lines(self) -> Iterator[Option]:
        for number, row in enumerate(self._rows):
            prompt, completion = both_parts(row)
            yield Option(Content(last_message(prompt)[:44] or completion[:44]), id=str(number))

    @on(OptionList.OptionHighlighted, "#rows")
    def _show_row(self, event: OptionList.OptionHighlighted) -> None:
        row = self._rows[int(str(event.option.id))]
        prompt, completion = both_parts(row)
        parts = [
            Content.styled("commands to be written", "bold $text-accent"), Content(f"\n{completion}\n\n"),
            Content.styled("prompt", "bold $text-accent"), Content(f"\n{prompt}"),
        ]  # fmt: skip
        self.query_one("#row", Static).update(Content("").join(parts))


def both_parts(row: Mapping[str, Any]) -> tuple[str, str]:
    """Prompt and completion of a row in either form."""
    if "messages" in row:
        return str(row["messages"][-2]["content"]), str(row["messages"][-1]["content"])
    return str(row["prompt"]), str(row["completion"])


def last_message(prompt: str) -> str:
    """The user's message a prompt ends with, without its label."""
    lines = [line for line in prompt.splitlines() if line.strip().upper().startswith("USER:")]
    return lines[-1].strip()[5:].strip() if lines else ""


def road(summary: Mapping[str, Any]) -> Content:
    """From tests to rows in one line each."""
    annotation, rephrasing, split = summary["command_annotation"], summary["rephrasing"], summary["split"]
    steps = [
        (f"{annotation['passing']:,}", "tests annotated", f"{annotation['annotated_user_steps']:,} messages"),
        (f"{rephrasing['passing']:,}", "wordings kept", f"of {rephrasing['candidates']:,}"),
        (f"{split['train_points']:,}", "rows to train on", f"from {split['train_tests']} tests"),
        (f"{split['val_points']:,}", "rows to validate on", f"from {split['val_tests']} tests"),
    ]
    lines = [
        Content.assemble((f"{count:>7}", "bold"), f"  {what:<21}", (more, "$muted")) for count, what, more in steps
    ]
    if (share := summary.get("llm_data", {}).get("shared_beginning")) is not None:
        lines.append(_shared(share))
    return Content("\n").join(lines)


def _shared(share: float) -> Content:
    """How much prompts have in common, and what to do when it is little."""
    count = (f"{f'{100 * share:.0f} %':>7}", "bold")
    if share >= ENOUGH:
        return Content.assemble(count, f"  {'of prompts shared':<21}", ("from the beginning: computed once", "$muted"))
    advice = "little: flows first in the template, the conversation last"
    return Content.assemble(count, f"  {'of prompts shared':<21}", (advice, "$text-warning"))


def spread(train: Mapping[str, int], validation: Mapping[str, int]) -> Content:
    """Rows by name on both sides, most frequent first."""
    names = sorted({*train, *validation}, key=lambda name: (-train.get(name, 0), name))
    most, width = max([*train.values(), 1]), max((len(name) for name in names), default=0)
    lines = [Content.styled(f"{'':<{width}}  {'train':<36}validation", "$muted")]
    for name in names:
        count, other = train.get(name, 0), validation.get(name, 0)
        lines.append(
            Content.assemble(
                f"{name:<{width}}  ",
                bar(count / most, 26),
                f" {count:<8,}",
                bar(other / most, 12, "$text-accent"),
                f" {other:,}",
            )
        )
    return Content("\n").join(lines)
