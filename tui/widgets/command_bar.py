"""The command that would do the same without the app, one key from the clipboard."""

from __future__ import annotations

from textual.content import Content
from textual.reactive import reactive
from textual.widgets import Static


class CommandBar(Static):
    """Shows `command`; the screen's copy action takes it."""

    DEFAULT_CSS = """
    CommandBar { height: 1; color: $text-muted; background: $surface; padding: 0 1; }
    """

    command: reactive[str] = reactive("")

    def watch_command(self, command: str) -> None:
        self.update(Content.assemble(("$ ", "$text-accent"), command, ("   ctrl+y copies", "$faint")))
