"""The result of any step: its scoreboard, what it found, where its files are."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Static

from core.wizard.session import Session, StepStatus
from core.wizard.step import Outputs
from tui.safe_text import one_line, safe
from tui.widgets.scoreboard import Scoreboard

MOST_ROWS_OF_A_LIST = 12


class ResultPanel(Vertical):
    """Outcome of a finished step; steps with more to look at override `body`."""

    DEFAULT_CSS = """
    ResultPanel { height: 1fr; }
    ResultPanel .facts { height: auto; margin: 0 0 1 0; }
    ResultPanel .scroll { height: 1fr; }
    ResultPanel OptionList:focus { border: none; background-tint: $foreground 0%; }
    """
    brief: ClassVar[bool] = False
    """Whether the panel itself tells what there is to say about gates that passed."""
    needs: ClassVar[tuple[str, ...]] = ()
    """What the summary must hold for this panel; outputs without it are shown as plain facts."""

    def __init__(self, session: Session, status: StepStatus, id: str | None = None) -> None:
        super().__init__(id=id)
        assert status.outputs is not None
        assert status.folder is not None
        self.session, self.outputs, self.folder = session, status.outputs, status.folder

    def compose(self) -> ComposeResult:
        if self.outputs.gates:
            yield Scoreboard(self.outputs.gates, self.brief, id="gates")
        yield from self.body()

    def body(self) -> Iterator[Widget]:
        with VerticalScroll(classes="scroll"):
            yield Static(facts(self.outputs.summary), classes="facts")
            yield Static(files(self.outputs, self.folder))

    def take_focus(self, selector: str) -> None:
        """Let keys go to a part of the panel, unless the person is somewhere else than among the steps."""
        focused = self.screen.focused
        if focused is None or focused.id == "stepper":
            self.query_one(selector).focus(scroll_visible=False)

    def path(self, name: str) -> Path:
        return self.folder / self.outputs.files[name]


def facts(summary: Mapping[str, Any]) -> Content:
    """A summary as lines of name and value; lists are counted and cut with a note."""
    lines = []
    for name, value in summary.items():
        for label, text in readable(name, value):
            lines.append(Content.assemble((f"{label:<22}", "$muted"), " ", text))
    return Content("\n").join(lines)


def readable(name: str, value: Any) -> Iterator[tuple[str, str]]:
    """(label, text) lines of one fact."""
    label = name.replace("_", " ")
    if isinstance(value, list):
        yield label, f"{len(value)}"
        for item in value[:MOST_ROWS_OF_A_LIST]:
            yield "", "  " + in_words(item)
        if len(value) > MOST_ROWS_OF_A_LIST:
            yield "", f"  … and {len(value) - MOST_ROWS_OF_A_LIST} more"
    elif isinstance(value, dict):
        yield label, ", ".join(f"{one_line(str(key))} {in_words(item)}" for key, item in value.items())
    else:
        yield label, in_words(value)


def in_words(value: Any) -> str:
    """A value of a summary on one line."""
    if isinstance(value, dict):
        return "  ".join(f"{key}: {in_words(item)}" for key, item in value.items() if item not in (None, [], ""))
    if isinstance(value, float):
        return f"{value:.4g}"
    return safe(value) if isinstance(value, str) else safe(json.dumps(value, ensure_ascii=False, default=str))


def files(outputs: Outputs, folder: Path) -> Content:
    """Where a step's files are."""
    lines = [Content.assemble(("files in ", "$muted"), str(folder))]
    lines += [
        Content.assemble(("  " + name.replace("_", " ").ljust(20), "$muted"), path)
        for name, path in outputs.files.items()
    ]
    return Content("\n").join(lines)
