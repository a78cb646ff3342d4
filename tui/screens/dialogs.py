"""Small windows over the walk: help for where one is, and what goes on when one leaves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Button, Static

Leave = Literal["leave", "stop", "stay"]

_WINDOW = """
    align: center middle; background: $background 60%;
    & > Vertical {
        width: 76; max-width: 96%; height: auto; max-height: 90%; padding: 1 2; background: $surface; border: round $border;
    }
    Horizontal { height: 1; margin: 1 0 0 0; }
    Button { margin: 0 2 0 0; }
    VerticalScroll { height: auto; max-height: 24; }
"""


class LeaveDialog(ModalScreen[Leave]):
    """Asked while something runs: let it go on, stop it, or stay."""

    DEFAULT_CSS = f"LeaveDialog {{ {_WINDOW} }}"
    BINDINGS = [
        Binding("escape", "choose('stay')", "Stay"),
        Binding("l", "choose('leave')"),
        Binding("s", "choose('stop')"),
    ]

    def __init__(self, at_work: Sequence[str], session: str) -> None:
        super().__init__()
        self._at_work, self._session = at_work, session

    def compose(self) -> ComposeResult:
        with Vertical():
            yield Static(
                Content.assemble(
                    ("Something is running\n\n", "bold"),
                    *(f"  {line}\n" for line in self._at_work),
                    (f"\nIt goes on without the app; `calmtune resume {self._session}` picks it up again. "
                     "It costs nothing but this machine's time.", "$muted"),
                )
            )  # fmt: skip
            with Horizontal():
                yield Button("Leave, let it run", variant="primary", id="leave", compact=True)
                yield Button("Stop it and leave", variant="error", id="stop", compact=True)
                yield Button("Stay", id="stay", compact=True)

    def action_choose(self, choice: Leave) -> None:
        self.dismiss(choice)

    @on(Button.Pressed)
    def _chosen(self, event: Button.Pressed) -> None:
        self.dismiss(event.button.id)  # type: ignore[arg-type]


class HelpDialog(ModalScreen[None]):
    """Where one is, what the step does, and the keys that work here."""

    DEFAULT_CSS = f"HelpDialog {{ {_WINDOW} }}"
    BINDINGS = [Binding("escape,f1,enter,q", "dismiss", "Close")]

    def __init__(self, title: str, text: str, keys: Sequence[tuple[str, str]]) -> None:
        super().__init__()
        self._title, self._text, self._keys = title, text, keys

    def compose(self) -> ComposeResult:
        width = max((len(key) for key, _ in self._keys), default=0)
        lines = [Content.assemble((f"{key:<{width}}  ", "bold $text-accent"), what) for key, what in self._keys]
        with Vertical(), VerticalScroll():
            yield Static(Content.assemble((f"{self._title}\n\n", "bold"), self._text, "\n\n", ("Keys", "bold"), "\n"))
            yield Static(Content("\n").join(lines))
            yield Static(Content.styled("\nescape closes", "$muted"))
