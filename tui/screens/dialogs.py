"""Small windows over the walk: help for where one is, and what goes on when one leaves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.screen import ModalScreen
from textual.widgets import Button, Label, Static, TextArea

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

    def __init__(self, at_work: Sequence[str], session: str, usd_per_hour: float = 0.0) -> None:
        """`usd_per_hour` is what the rented machines it runs on cost."""
        super().__init__()
        self._at_work, self._session = at_work, session
        self._costs = (
            f"Its rented machine costs ${usd_per_hour:.2f} an hour, until it has idled for as long as session.cloud_idle_minutes says."
            if usd_per_hour
            else "It costs nothing but this machine's time."
        )

    def compose(self) -> ComposeResult:
        with Vertical():
            yield Static(
                Content.assemble(
                    ("Something is running\n\n", "bold"),
                    *(f"  {line}\n" for line in self._at_work),
                    (f"\nIt goes on without the app; `calmtune resume {self._session}` picks it up again. "
                     f"{self._costs}", "$muted"),
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


class WordingArea(TextArea):
    """A message of any length; Enter says that it is done."""

    class Done(Message):
        """Enter was pressed, after all that was typed before it."""

    async def _on_key(self, event: events.Key) -> None:
        if (
            event.key == "enter"
        ):  # here and not as a key of the window, which would overtake typing that is still on its way
            event.stop()
            event.prevent_default()
            self.post_message(self.Done())
            return
        await super()._on_key(event)


class EditDialog(ModalScreen[str | None]):
    """Other words for a message; None when nothing is to change."""

    DEFAULT_CSS = f"""
    EditDialog {{ {_WINDOW} }}
    EditDialog TextArea {{ height: 4; border: none; padding: 0 1; margin: 1 0 0 0; background: $panel; }}
    EditDialog #objection {{ color: $text-error; height: auto; width: 1fr; }}
    """
    BINDINGS = [
        Binding("escape", "dismiss", "Cancel"),
    ]

    def __init__(
        self, original: str, commands: Sequence[str], wording: str, objection: Callable[[str], str | None]
    ) -> None:
        """`objection` says why a text will not do."""
        super().__init__()
        self._original, self._commands, self._wording, self._objection = original, commands, wording, objection

    def compose(self) -> ComposeResult:
        with Vertical():
            yield Static(
                Content.assemble(
                    ("Other words for\n", "bold"), f"  {self._original}\n", ("The commands stay\n", "bold"),
                    "\n".join(f"  {command}" for command in self._commands),
                )
            )  # fmt: skip
            yield WordingArea(self._wording, soft_wrap=True, id="text", compact=True)
            yield Label("", id="objection", markup=False)
            with Horizontal():
                yield Button("Save", variant="primary", id="save", compact=True)
                yield Button("Cancel", id="cancel", compact=True)

    def on_mount(self) -> None:
        area = self.query_one(WordingArea)
        area.focus()
        area.move_cursor(area.document.end)

    @on(WordingArea.Done)
    def _save(self) -> None:
        text = self.query_one(WordingArea).text.strip()
        if reason := self._objection(text):
            self.query_one("#objection", Label).update(reason)
        else:
            self.dismiss(text)

    @on(Button.Pressed)
    def _pressed(self, event: Button.Pressed) -> None:
        if event.button.id == "save":
            self._save()
        else:
            self.dismiss(None)


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


class ReadDialog(ModalScreen[None]):
    """A text to read, in as much room as there is."""

    DEFAULT_CSS = f"""
    ReadDialog {{ {_WINDOW} }}
    ReadDialog > Vertical {{ width: 100; }}
    ReadDialog VerticalScroll {{ max-height: 1fr; }}
    """
    BINDINGS = [Binding("escape,enter,q", "dismiss", "Close")]

    def __init__(self, text: Content) -> None:
        super().__init__()
        self._text = text

    def compose(self) -> ComposeResult:
        with Vertical():
            with VerticalScroll():
                yield Static(self._text)
            yield Static(Content.styled("\nescape closes", "$muted"))
