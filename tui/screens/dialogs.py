"""Small windows over a screen: what a change undoes, what goes on when one leaves, texts to edit and to read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.screen import ModalScreen
from textual.widgets import Button, Label, Static, TextArea

from core.wizard.consequences import Consequence, duration
from tui.keymap import shown_file
from tui.leaving import GoesOn
from tui.mishap import Mishap
from tui.safe_text import one_line, safe
from tui.widgets.error_card import ErrorCard

Leave = Literal["leave", "stop", "stay"]
Stop = Literal["stop", "keep", "stay"]

WINDOW = """
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

    DEFAULT_CSS = f"LeaveDialog {{ {WINDOW} }}"
    BINDINGS = [
        Binding("escape", "choose('stay')", "Stay", tooltip="Go back", id="stay"),
        Binding("l", "choose('leave')", "Leave, let it run", tooltip="Leave; what runs goes on without the app", id="let-run"),
        Binding("s", "choose('stop')", "Stop it and leave", tooltip="End the step and its job, then leave", id="stop-and-leave"),
    ]

    def __init__(self, going_on: GoesOn, session: str, at_work: bool = True) -> None:
        """`at_work` says that a step of this app is among what goes on or ends."""
        super().__init__()
        self._going_on, self._ending = going_on.running, going_on.ending
        self._session, self._at_work = session, at_work
        self._costs = (
            f"Rented machines cost ${going_on.usd_per_hour:.2f} an hour, until they have idled for as long as session.cloud_idle_minutes "
            f"says; `calmtune stop {session}` ends them now."
            if going_on.usd_per_hour
            else "" if going_on.ending else "It costs nothing but this machine's time."
        )

    def compose(self) -> ComposeResult:
        how = f"It {'ends with' if self._ending else 'goes on without'} the app; `calmtune resume {self._session}` picks it up again. "
        goes_on = how if self._at_work else ""
        with Vertical():
            yield Static(
                Content.assemble(
                    ("Something is running\n\n", "bold"),
                    *(f"  {one_line(line)}\n" for line in (*self._ending, *self._going_on)),
                    (f"\n{goes_on}{self._costs}", "$muted"),
                )
            )
            with Horizontal():
                yield Button("Leave" if self._ending else "Leave, let it run", variant="primary", id="leave", compact=True)
                if self._at_work:
                    yield Button("Stop it and leave", variant="error", id="stop", compact=True)
                yield Button("Stay", id="stay", compact=True)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return self._at_work or parameters != ("stop",)

    def action_choose(self, choice: Leave) -> None:
        self.dismiss(choice)

    @on(Button.Pressed)
    def _chosen(self, event: Button.Pressed) -> None:
        self.dismiss(event.button.id)  # type: ignore[arg-type]


class StopDialog(ModalScreen[Stop]):
    """Asked before training is stopped: it can go on later, or end where it is with a model."""

    DEFAULT_CSS = f"StopDialog {{ {WINDOW} }}"
    BINDINGS = [
        Binding("escape", "choose('stay')", "Let it run", id="stay"),
        Binding("s", "choose('stop')", id="stop-now"),
        Binding("k", "choose('keep')", id="end-and-keep"),
    ]

    def compose(self) -> ComposeResult:
        with Vertical():
            yield Static(
                Content.assemble(
                    ("Stop training?\n\n", "bold"),
                    ("Stop, go on later\n", "bold"),
                    ("The job ends and leaves a checkpoint, but no model. Running the step again goes on from there; nothing is computed "
                     "twice.\n\n", "$muted"),
                    ("End now, keep the model\n", "bold"),
                    ("Training ends one step on as if that were all: the weights of the best validation so far become the model, and the "
                     "recipe goes on with it.", "$muted"),
                )
            )  # fmt: skip
            with Horizontal():
                yield Button("Stop, go on later", variant="error", id="stop", compact=True)
                yield Button("End now, keep the model", variant="primary", id="keep", compact=True)
                yield Button("Let it run", id="stay", compact=True)

    def action_choose(self, choice: Stop) -> None:
        self.dismiss(choice)

    @on(Button.Pressed)
    def _chosen(self, event: Button.Pressed) -> None:
        self.dismiss(event.button.id)  # type: ignore[arg-type]


class ChangeDialog(ModalScreen[bool]):
    """Asked before answers are taken over that make finished steps stale: True takes them over."""

    DEFAULT_CSS = f"ChangeDialog {{ {WINDOW} }}"
    BINDINGS = [
        Binding("escape", "choose(False)", "Keep as it is", tooltip="Go back; nothing is taken over yet", id="keep-answers"),
        Binding("r", "choose(True)", "Change and run", tooltip="Take the answers over and run the step", id="change-answers"),
    ]

    def __init__(self, stale: Sequence[Consequence], titles: Mapping[str, str]) -> None:
        super().__init__()
        self._stale, self._titles = stale, titles

    def compose(self) -> ComposeResult:
        wide = max(len(self._titles[one.step]) for one in self._stale)
        lines = []
        for one in self._stale:
            lines.append(Content.assemble(f"  {self._titles[one.step]:<{wide}}  ", (one_line(one.reason, 90), "$text-warning"), "\n"))
            lines.append(Content.styled(f"  {'':<{wide}}  {spent(one)}\n", "$muted"))
        usd = sum(one.usd for one in self._stale)
        with Vertical():
            with VerticalScroll(can_focus=False):
                yield Static(
                    Content.assemble(
                        ("This makes finished steps stale\n\n", "bold"),
                        *lines,
                        (f"\nRepeating all of it: about {duration(sum(one.seconds for one in self._stale))}"
                         f"{f' and ${usd:.2f}' * (usd >= 0.005)}. ", ""),
                        ("What is there now is kept: the old answers bring it back at once, without running anything.", "$muted"),
                    )
                )  # fmt: skip
            with Horizontal():
                yield Button("Change and run", variant="primary", id="change", compact=True)
                yield Button("Keep as it is", id="keep", compact=True)

    def action_choose(self, change: bool) -> None:
        self.dismiss(change)

    @on(Button.Pressed)
    def _chosen(self, event: Button.Pressed) -> None:
        self.dismiss(event.button.id == "change")


def spent(one: Consequence) -> str:
    """What the last run of a step took."""
    return f"took {duration(one.seconds)}" + (f" and ${one.usd:.2f}" if one.usd else "")


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
    EditDialog {{ {WINDOW} }}
    EditDialog TextArea {{ height: 4; border: none; padding: 0 1; margin: 1 0 0 0; background: $panel; }}
    EditDialog #objection {{ color: $text-error; height: auto; width: 1fr; }}
    """
    BINDINGS = [
        Binding("escape", "dismiss", "Cancel", tooltip="Back without a change", id="cancel"),
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
                    ("Other words for\n", "bold"), f"  {safe(self._original)}\n", ("The commands stay\n", "bold"),
                    "\n".join(f"  {one_line(command)}" for command in self._commands),
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
    """Texts, the keys with what they do, and where keys are changed."""

    DEFAULT_CSS = f"""
    HelpDialog {{ {WINDOW} }}
    HelpDialog VerticalScroll {{ max-height: 30; }}
    """
    BINDINGS = [Binding("escape,f1,enter,q", "dismiss", "Close", tooltip="Close this window", id="close-help")]

    def __init__(self, title: str, text: str | Content, keys: Sequence[tuple[str, str]]) -> None:
        super().__init__()
        self._heading, self._text, self._keys = title, text, keys

    def compose(self) -> ComposeResult:
        width = max((len(key) for key, _ in self._keys), default=0)
        lines = [Content.assemble((f"{key:<{width}}  ", "bold $text-accent"), what) for key, what in self._keys]
        with Vertical():
            with VerticalScroll():
                yield Static(Content.assemble((f"{self._heading}\n\n", "bold"), self._text, "\n\n", ("Keys", "bold")))
                yield Static(Content("\n").join(lines))
                yield Static(Content.styled(f"\nctrl+p lists every action. Other keys: {shown_file()}", "$muted"))
            yield Static(Content.styled("\nescape closes", "$muted"))


class ReadDialog(ModalScreen[None]):
    """A text to read, in as much room as there is."""

    DEFAULT_CSS = f"""
    ReadDialog {{ {WINDOW} }}
    ReadDialog > Vertical {{ width: 100; }}
    ReadDialog VerticalScroll {{ max-height: 1fr; }}
    """
    BINDINGS = [Binding("escape,enter,q", "dismiss", "Close", tooltip="Close this window", id="close")]

    def __init__(self, text: Content) -> None:
        super().__init__()
        self._text = text

    def compose(self) -> ComposeResult:
        with Vertical():
            with VerticalScroll():
                yield Static(self._text)
            yield Static(Content.styled("\nescape closes", "$muted"))


class ErrorDialog(ModalScreen[None]):
    """A mishap that belongs to no step, over whatever is on the screen."""

    DEFAULT_CSS = f"""
    ErrorDialog {{ {WINDOW} }}
    ErrorDialog ErrorCard {{ margin: 0; }}
    """
    BINDINGS = [Binding("escape,enter,q", "dismiss", "Close", tooltip="Close this window", id="close")]

    def __init__(self, mishap: Mishap) -> None:
        super().__init__()
        self._mishap = mishap

    def compose(self) -> ComposeResult:
        with Vertical():
            card = ErrorCard()
            card.mishap = self._mishap
            yield card
            yield Static(Content.styled("\nescape closes", "$muted"))

    def on_mount(self) -> None:
        self.query_one(ErrorCard).focus()
