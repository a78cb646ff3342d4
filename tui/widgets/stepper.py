"""The seven steps with their states, as a list to move in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from textual.content import Content
from textual.style import Style
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from tui.safe_text import one_line

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
_QUIET = ("fresh", "blocked", "ready")
"""States that ask nobody to act."""


@dataclass(frozen=True)
class StepLine:
    """One step as the list shows it."""

    id: str
    title: str
    state: str
    reason: str = ""
    """Why it is so, or how far it is."""


class Stepper(OptionList):
    """Option ids are step ids; `OptionSelected` says which step the view should show."""

    DEFAULT_CSS = """
    Stepper { width: 27; height: 1fr; border: none; padding: 1 0 0 0; background: $surface; text-wrap: nowrap; text-overflow: ellipsis; }
    Stepper:focus { border: none; background-tint: $foreground 0%; }
    """

    def show(self, lines: Sequence[StepLine], current: str) -> None:
        """Fill the list; below a step that asks for someone to act stand its state and why."""
        prompts = [_prompt(number, line) for number, line in enumerate(lines, 1)]
        if self.option_count == len(prompts):
            for at, prompt in enumerate(prompts):
                self.replace_option_prompt_at_index(at, prompt)
        else:
            self.clear_options()
            self.add_options([Option(prompt, id=line.id) for prompt, line in zip(prompts, lines, strict=True)])
        self.highlighted = next((at for at, line in enumerate(lines) if line.id == current), 0)

    def update(self, line: StepLine) -> None:
        """One step anew."""
        at = self.get_option_index(line.id)
        self.replace_option_prompt_at_index(at, _prompt(at + 1, line))


def _prompt(number: int, line: StepLine) -> Content:
    mark, colour = _MARKS[line.state]
    title = Content.styled(f"{number} {one_line(line.title)}", "$faint" if line.state == "blocked" else "")
    parts = [Content.styled(f" {mark} ", colour), title]
    if line.state not in _QUIET:
        parts.append(Content.styled(f"\n     {line.state}", "$muted"))
        if line.reason:
            parts.append(Content.styled(f"\n     {one_line(line.reason, 200)}", "$muted"))
    return Content("").join(parts)


def trail(lines: Sequence[StepLine], current: str) -> Content:
    """The steps on one line, for narrow screens: marks and numbers, the one in view by its name; a click shows that step."""
    parts = []
    for number, line in enumerate(lines, 1):
        mark, colour = _MARKS[line.state]
        name = f"{number} {one_line(line.title)}" if line.id == current else str(number)
        shown = Content.assemble((mark, colour), (name, "bold" if line.id == current else "$muted"))
        parts.append(shown.stylize(Style.from_meta({"step": line.id})))
    return Content("  ").join(parts)
