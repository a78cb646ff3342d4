"""The seven steps with their states, as a list to move in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.text import Text
from textual.widgets import OptionList
from textual.widgets.option_list import Option

_MARKS = {
    "fresh": ("✓", "green"),
    "failed_gate": ("✗", "red"),
    "stale": ("~", "yellow"),
    "running": ("▶", "cyan"),
    "interrupted": ("!", "yellow"),
    "failed": ("✗", "red"),
    "blocked": ("·", "dim"),
    "ready": ("○", ""),
}


@dataclass(frozen=True)
class StepLine:
    """One step as the list shows it."""

    id: str
    title: str
    state: str
    reason: str = ""


class Stepper(OptionList):
    """Option ids are step ids; `OptionSelected` says which step the view should show."""

    DEFAULT_CSS = """
    Stepper { width: 30; height: 1fr; border: round $panel; background: $background; }
    .-narrow Stepper { width: 100%; height: 9; }
    """

    def show(self, lines: Sequence[StepLine], current: str) -> None:
        highlighted = next((at for at, line in enumerate(lines) if line.id == current), 0)
        self.clear_options()
        for number, line in enumerate(lines, 1):
            mark, colour = _MARKS.get(line.state, ("○", ""))
            text = Text.assemble((f"{mark} ", colour), f"{number} {line.title}")
            if line.reason:
                text.append(f"\n    {line.reason}", "dim")
            self.add_option(Option(text, id=line.id))
        self.highlighted = highlighted
