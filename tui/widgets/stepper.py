"""The seven steps with their states, as a list to move in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from textual.content import Content
from textual.widgets import OptionList
from textual.widgets.option_list import Option

_MARKS = {
    "fresh": ("✓", "$text-success"),
    "gate failed": ("✗", "$text-error"),
    "stale": ("~", "$text-warning"),
    "running": ("▶", "$text-accent"),
    "interrupted": ("!", "$text-warning"),
    "failed": ("✗", "$text-error"),
    "blocked": ("·", "$faint"),
    "ready": ("○", "$text-primary"),
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
    Stepper { width: 26; height: 1fr; border: none; padding: 1 0 0 0; background: $surface; }
    Stepper:focus { border: none; background-tint: $foreground 0%; }
    """

    def show(self, lines: Sequence[StepLine], current: str) -> None:
        """Fill the list; a state that asks for someone to act stands below its step."""
        self.clear_options()
        for number, line in enumerate(lines, 1):
            mark, colour = _MARKS[line.state]
            title = f"{number} {line.title}"
            parts = [Content.styled(f" {mark} ", colour), Content.styled(title, _title_style(line.state))]
            if line.state not in ("fresh", "blocked", "ready"):
                parts.append(Content.styled(f"\n     {line.state}", "$muted"))
            self.add_option(Option(Content("").join(parts), id=line.id))
        self.highlighted = next((at for at, line in enumerate(lines) if line.id == current), 0)


def trail(lines: Sequence[StepLine], current: str) -> Content:
    """The steps on one line, for narrow screens: marks and numbers, the one in view by its name."""
    parts = []
    for number, line in enumerate(lines, 1):
        mark, colour = _MARKS[line.state]
        name = f"{number} {line.title}" if line.id == current else str(number)
        parts.append(Content.assemble((mark, colour), (name, "bold" if line.id == current else "$muted")))
    return Content("  ").join(parts)


def _title_style(state: str) -> str:
    return "$faint" if state == "blocked" else ""
