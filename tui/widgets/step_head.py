"""What stands above a step: its name and purpose, why it is as it is, and what went wrong."""

from __future__ import annotations

from dataclasses import dataclass

from textual import events
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.message import Message
from textual.widgets import Label, Static

from tui.look import Look
from tui.mishap import Mishap
from tui.safe_text import safe
from tui.widgets.error_card import ErrorCard
from tui.widgets.stepper import trail


class StepHead(Vertical):
    """Shows a `Look`, and a card where something went wrong."""

    DEFAULT_CSS = """
    StepHead { height: auto; }
    StepHead #trail { display: none; height: 1; }
    StepHead #title { text-style: bold; color: $text-accent; }
    StepHead #purpose { color: $text-muted; height: auto; width: 1fr; margin: 0 0 1 0; }
    StepHead #reason {
        height: auto; width: 1fr; margin: 0 0 1 0; padding: 0 1; color: $text-warning; border-left: outer $warning; background: $surface;
    }
    """

    @dataclass
    class Selected(Message):
        """A step was clicked in the trail."""

        step: str

    def on_click(self, event: events.Click) -> None:
        if (step := event.style.meta.get("step")) is not None:
            self.post_message(self.Selected(step))

    def compose(self) -> ComposeResult:
        yield Static("", id="trail")
        yield Label("", id="title", markup=False)
        yield Label("", id="purpose", markup=False)
        yield Label("", id="reason", markup=False)
        yield ErrorCard(id="error")

    def show(self, seen: Look, mishap: Mishap | None) -> None:
        self.query_one("#trail", Static).update(trail(seen.lines, seen.step))
        self.query_one("#title", Label).update(f"{seen.number}  {seen.title}")
        self.query_one("#purpose", Label).update(seen.purpose)
        self.query_one(ErrorCard).mishap = mishap
        told = seen.shown or seen.status
        reason = self.query_one("#reason", Label)
        # the scoreboard says it of a finished step, and one at work is not what it was any more
        reason.display = mishap is None and bool(told.reason) and not told.done and not seen.running
        reason.update(safe(f"{told.state}: {told.reason}", 600))
