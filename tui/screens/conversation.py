"""Failed tests over the whole screen, one at a time: what was expected beside what came."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from textual.app import ComposeResult
from textual.binding import Binding
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Footer

from core.e2e.side_by_side import Sides
from tui.editor import edit
from tui.screens.dialogs import HelpDialog
from tui.widgets.side_by_side import SideBySide
from tui.widgets.top_bar import TopBar

_HELP = """\
Left what the test expects, right what came, in its order. ✗ is a check that did not hold, with what came instead beside it; ▶ marks \
the first, and what follows from it may be wrong only because of it. What nothing was expected of is paler; · was not tried."""


@dataclass(frozen=True)
class FailedConversation:
    """A failed test as it is shown."""

    head: Content
    """Its name, place and what is known about it."""
    sides: Sides | None
    """None where nothing but the head is known."""
    file: Path
    line: int


class ConversationScreen(Screen[None]):
    """Goes through failed tests."""

    DEFAULT_CSS = """
    ConversationScreen SideBySide { padding: 1 2; }
    ConversationScreen.-narrow SideBySide { padding: 0 1; }
    """
    BINDINGS = [
        Binding("n,right", "go(1)", "Next", tooltip="The next failed test", key_display="n", id="next-failed"),
        Binding("p,left", "go(-1)", "Previous", tooltip="The failed test before", key_display="p", id="failed-before"),
        Binding("e", "edit", "Edit test", tooltip="Open the test in $EDITOR", id="edit-test"),
        Binding("escape,q", "dismiss", "Back", tooltip="Back to the step", key_display="esc", id="close-conversation"),
        Binding("f1", "help", "Help", tooltip="What is shown, and the keys", id="help"),
    ]

    def __init__(self, failed: Sequence[FailedConversation], at: int, where: str) -> None:
        super().__init__()
        self._failed, self._at, self._where = failed, at, where

    def compose(self) -> ComposeResult:
        yield TopBar()
        yield SideBySide(id="sides")
        yield Footer(compact=True, show_command_palette=False)

    def on_mount(self) -> None:
        self.query_one(SideBySide).focus()
        self._show()

    def _show(self) -> None:
        one = self._failed[self._at]
        bar = self.query_one(TopBar)
        bar.where, bar.state = self._where, f"{self._at + 1:,} of {len(self._failed):,}"
        self.query_one(SideBySide).show(one.sides, one.head)
        self.refresh_bindings()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Grey the ways that lead nowhere."""
        if action == "go":
            by = parameters[0]
            return True if isinstance(by, int) and 0 <= self._at + by < len(self._failed) else None
        return True

    def action_go(self, by: int) -> None:
        if 0 <= self._at + by < len(self._failed):
            self._at += by
            self._show()

    def action_edit(self) -> None:
        one = self._failed[self._at]
        edit(self.app, one.file, one.line)

    def action_help(self) -> None:
        keys = [
            (shown.binding.key_display or shown.binding.key, shown.binding.tooltip)
            for shown in self.active_bindings.values()
            if shown.binding.tooltip
        ]
        self.app.push_screen(HelpDialog("A failed test", _HELP, keys))
