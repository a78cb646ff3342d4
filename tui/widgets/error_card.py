"""An error as a card: what happened, what to try, the command that does it, where the log is."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.content import Content
from textual.reactive import reactive
from textual.widgets import Static

from tui.mishap import Mishap
from tui.safe_text import one_line, safe


class ErrorCard(VerticalScroll, can_focus=True):
    """Shows `mishap`; hidden while there is none. `c` copies all of it."""

    DEFAULT_CSS = """
    ErrorCard {
        height: auto; max-height: 12; margin: 0 0 1 0; padding: 0 1; display: none;
        border-left: outer $error; background: $surface;
    }
    ErrorCard.shown { display: block; }
    ErrorCard:focus { background: $panel; }
    ErrorCard Static { height: auto; width: 1fr; }
    """
    BINDINGS = [
        Binding("c", "copy", "Copy error", tooltip="Copy what happened, what to try and where the log is", show=False, id="copy-error")
    ]

    mishap: reactive[Mishap | None] = reactive(None)

    def compose(self) -> ComposeResult:
        yield Static("", id="mishap")

    def watch_mishap(self, mishap: Mishap | None) -> None:
        self.set_class(mishap is not None, "shown")
        if mishap is not None and self.is_mounted:
            self.query_one("#mishap", Static).update(told(mishap, self.has_focus))
            self.scroll_home(animate=False)

    def watch_has_focus(self, _has_focus: bool) -> None:
        super().watch_has_focus(_has_focus)
        self.watch_mishap(self.mishap)

    def on_mount(self) -> None:
        self.watch_mishap(self.mishap)

    def action_copy(self) -> None:
        if self.mishap is not None:
            self.app.copy_to_clipboard(self.mishap.text)
            self.notify("the error is in the clipboard")

    def on_click(self) -> None:
        self.focus()


def told(mishap: Mishap, has_focus: bool = True) -> Content:
    """The card's lines."""
    hint = "   c copies" if has_focus else "   a click here, then c copies"
    parts: list[Content] = [
        Content.assemble((f"✗ {one_line(mishap.title)}", "bold $text-error"), (hint, "$faint")),
        Content(safe(mishap.what)),
        Content.assemble(("try  ", "$muted"), safe(mishap.remedy)),
    ]
    if mishap.command:
        parts.append(Content.assemble(("$    ", "$text-accent"), one_line(mishap.command)))
    if mishap.log:
        parts.append(Content.assemble(("log  ", "$muted"), one_line(mishap.log, 400)))
    return Content("\n").join(parts)
