"""What a step will write, as a diff, before it is written."""

from __future__ import annotations

from collections.abc import Callable

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Button, Label, OptionList, Static
from textual.widgets.option_list import Option
from textual.worker import get_current_worker

from core.errors import CalmtuneError
from core.wizard.foreseen import Writes
from tui.mishap import mishap_of
from tui.results.connection import diff
from tui.safe_text import one_line
from tui.widgets.error_card import ErrorCard


class PreviewScreen(ModalScreen[bool]):
    """Files at the left, the difference of one at the right; dismissed with True when they may be written."""

    DEFAULT_CSS = """
    PreviewScreen { align: center middle; background: $background 60%; }
    PreviewScreen > Vertical { width: 130; max-width: 98%; height: 90%; padding: 1 2; background: $surface; border: round $border; }
    PreviewScreen #heading { text-style: bold; width: 1fr; margin: 0 0 1 0; }
    PreviewScreen #files-and-diff { height: 1fr; }
    PreviewScreen OptionList { width: 26%; max-width: 32; height: 1fr; border: none; padding: 0; background: $surface; }
    PreviewScreen OptionList:focus { border: none; background-tint: $foreground 0%; }
    PreviewScreen VerticalScroll { width: 1fr; padding: 0 0 0 1; border-left: vkey $panel; }
    PreviewScreen #diff { width: auto; height: auto; }
    PreviewScreen #for { color: $text-muted; height: 1; }
    PreviewScreen #choices { height: 1; margin: 1 0 0 0; }
    PreviewScreen Button { margin: 0 2 0 0; }
    """
    BINDINGS = [
        Binding("escape,q", "dismiss(False)", "Close", tooltip="Back; nothing is written", id="close-preview"),
        Binding("w", "write", "Write", tooltip="Run the step, which writes this", id="write"),
    ]

    def __init__(self, title: str, foreseen: Callable[[], Writes], asks: bool = False) -> None:
        """`foreseen` may take seconds; `asks` offers to write."""
        super().__init__()
        self._heading, self._foreseen, self._asks = title, foreseen, asks
        self._writes: Writes | None = None

    def compose(self) -> ComposeResult:
        with Vertical():
            yield Label(f"{self._heading}: looking at what will be written …", id="heading", markup=False)
            yield ErrorCard()
            with Horizontal(id="files-and-diff"):
                yield OptionList(id="files")
                with VerticalScroll():
                    yield Static("", id="diff")
            yield Label("", id="for", markup=False)
            with Horizontal(id="choices"):
                if self._asks:
                    yield Button("Write it", variant="primary", id="write", compact=True)
                yield Button("Close", id="close", compact=True)

    def on_mount(self) -> None:
        self._look()

    @work(thread=True, exit_on_error=False)
    def _look(self) -> None:
        try:
            found: Writes | BaseException = self._foreseen()
        except (CalmtuneError, OSError) as error:
            found = error
        if not get_current_worker().is_cancelled:
            self.app.call_from_thread(self._tell, found)

    def _tell(self, found: Writes | BaseException) -> None:
        heading = self.query_one("#heading", Label)
        if isinstance(found, BaseException):
            heading.update(self._heading)
            self.query_one(ErrorCard).mishap = mishap_of(found, "That cannot be told yet")
            return
        self._writes = found
        count = len(found.diffs)
        what = f"{count} file{'s' * (count != 1)} in {one_line(found.where)}" if count else "nothing changes"
        heading.update(f"{self._heading}: {what}")
        files = self.query_one("#files", OptionList)
        files.add_options([Option(Content(one_line(name)), id=name) for name in found.diffs])
        files.focus()
        if count:
            files.highlighted = 0

    @on(OptionList.OptionHighlighted)
    def _show(self, event: OptionList.OptionHighlighted) -> None:
        assert self._writes is not None
        name = str(event.option.id)
        self.query_one("#diff", Static).update(diff(self._writes.diffs[name]))
        self.query_one("#for", Label).update(self._writes.purposes.get(name, ""))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return self._asks or action != "write"

    def action_write(self) -> None:
        if self._writes is not None:
            self.dismiss(True)

    @on(Button.Pressed)
    def _pressed(self, event: Button.Pressed) -> None:
        if event.button.id == "write":
            self.action_write()
        else:
            self.dismiss(False)
