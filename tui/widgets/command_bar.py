"""The command that would do the same without the app, one key from the clipboard."""

from __future__ import annotations

from textual.content import Content
from textual.reactive import reactive
from textual.widgets import Static


class CommandBar(Static):
    """Shows `command`, its end cut where it is too long; the screen's copy action, or a click, takes all of it."""

    DEFAULT_CSS = """
    CommandBar { height: 1; color: $text-muted; background: $surface; padding: 0 1; text-wrap: nowrap; }
    CommandBar:hover { background: $panel; }
    """

    command: reactive[str] = reactive("")
    key: reactive[str] = reactive("")
    """What copies it."""

    def render(self) -> Content:
        hint = f"   {self.key} copies" if self.key else ""
        room = max(0, self.size.width - 4 - len(hint))
        return Content.assemble(("$ ", "$text-accent"), Content(self.command).truncate(room, ellipsis=True), (hint, "$faint"))

    async def on_click(self) -> None:
        await self.run_action("screen.copy")
