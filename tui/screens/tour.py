"""Three pages for whoever opens calmtune for the first time."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.reactive import reactive
from textual.screen import ModalScreen
from textual.widgets import Button, Static

from tui.screens.dialogs import WINDOW

PAGES = (
    (
        "What this is for",
        """\
Your assistant talks to a big hosted language model. calmtune teaches a small model of your own to write the same commands, proves on your \
end-to-end tests that it does, and points the assistant at it.

Seven steps lead there:
coverage · data · fine-tuning · evaluation · production model · deployment · connection""",
    ),
    (
        "How a walk goes",
        """\
Each step asks a few questions, runs, and ends at a gate: a bar its result must reach. You can leave at any time, what runs goes on; and \
go back to any answer: before anything is repeated you are told what becomes stale, and what that costs in minutes and dollars.

The line at the bottom is the command that does the same without the app.""",
    ),
    (
        "Where to begin",
        """\
With the folder of an assistant: config.yml, domain, data, end-to-end tests. It is only read, until you ask for the change in the last step.

Or with the demo: ctrl+d in the list of sessions takes a sample assistant through all steps on this machine.

F1 explains where you are, ctrl+p lists every action.""",
    ),
)


class TourScreen(ModalScreen[None]):
    """Dismissed at its end, or when it is skipped."""

    DEFAULT_CSS = f"TourScreen {{ {WINDOW} }}"
    BINDINGS = [
        Binding("right,space,enter", "turn(1)", "Next", tooltip="The next page; after the last, begin", id="next-page"),
        Binding("left,backspace", "turn(-1)", "Back", tooltip="The page before", id="page-before"),
        Binding("escape", "dismiss", "Skip", tooltip="Skip the tour; the command palette has it", id="skip-tour"),
    ]

    page: reactive[int] = reactive(0)

    def compose(self) -> ComposeResult:
        with Vertical():
            with VerticalScroll(can_focus=False):
                yield Static(id="text")
            with Horizontal():
                yield Button("Next", variant="primary", id="next", compact=True)
                yield Button("Back", id="back", compact=True)
                yield Button("Skip", id="skip", compact=True)

    def watch_page(self, page: int) -> None:
        title, text = PAGES[page]
        dots = Content(" ").join(
            [Content.styled("●" if number == page else "○", "$text-accent" if number == page else "$faint") for number in range(len(PAGES))]
        )
        self.query_one("#text", Static).update(Content.assemble((title, "bold $text-accent"), "   ", dots, f"\n\n{text}"))
        last = page == len(PAGES) - 1
        self.query_one("#next", Button).label = "Begin" if last else "Next"
        self.query_one("#back").display = page > 0
        self.query_one("#skip").display = not last

    def action_turn(self, by: int) -> None:
        if self.page + by >= len(PAGES):
            self.dismiss()
        else:
            self.page = max(0, self.page + by)

    def on_button_pressed(self, event: Button.Pressed) -> None:
        if event.button.id == "skip":
            self.dismiss()
        else:
            self.action_turn(1 if event.button.id == "next" else -1)
