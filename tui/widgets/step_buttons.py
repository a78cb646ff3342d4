"""What can be done with the step in view, for the mouse."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.widgets import Button

from tui.look import Look

_BUTTONS = {
    "run": "Run", "next": "Next step", "review": "Review rows", "edit": "Answers", "result": "Result", "preview": "Preview",
    "chat": "Talk to it", "stop": "Stop",
}  # fmt: skip
"""Action → label, in their order."""


class StepButtons(Horizontal):
    """Buttons whose ids are actions of the screen; shown are those that mean something now."""

    DEFAULT_CSS = """
    StepButtons { height: 1; margin: 1 0; }
    StepButtons Button { margin: 0 2 0 0; min-width: 10; }
    """

    def compose(self) -> ComposeResult:
        for action, label in _BUTTONS.items():
            variant = {"run": "primary", "next": "primary", "stop": "error"}.get(action, "default")
            yield Button(label, variant=variant, id=action, compact=True)  # type: ignore[arg-type]

    def show(self, seen: Look, editing: bool) -> None:
        shown = {action: action in seen.actions for action in _BUTTONS}
        shown["next"] &= seen.status.state == "fresh" and not editing
        shown["stop"] &= seen.running
        self.query_one("#run", Button).label = "Resume" if seen.status.state == "interrupted" else _BUTTONS["run"]
        for action, display in shown.items():
            self.query_one(f"#{action}", Button).display = display
