"""The Textual app: a list of sessions, and the walk through one of them."""

from __future__ import annotations

import os
from pathlib import Path

from textual import work
from textual.app import App
from textual.binding import Binding
from textual.color import Color

from core.wizard.session import Session, sessions_in
from tui.palette import KeyCommands
from tui.screens.sessions import SessionsScreen
from tui.screens.walk import WalkScreen
from tui.theme import DARK, LIGHT


class CalmtuneApp(App[None]):
    """Shows screens; everything of the recipe is in core."""

    TITLE = "calmtune"
    CSS_PATH = "narrow.tcss"
    COMMANDS = App.COMMANDS | {KeyCommands}
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (100, "-wide")]
    VERTICAL_BREAKPOINTS = [(0, "-low"), (34, "-tall")]
    BINDINGS = [Binding("ctrl+q", "quit", "Quit", tooltip="Leave; running jobs go on")]

    def __init__(self, home: Path, session: str | None = None) -> None:
        super().__init__()
        self._home, self._wanted = home, session

    def get_theme_variable_defaults(self) -> dict[str, str]:
        """Shades that texts drawn in code need, for themes that do not name them."""
        theme = self.current_theme
        if theme.ansi:
            return {"muted": "ansi_bright_black", "faint": "ansi_bright_black", "track": "ansi_bright_black"}
        ground = Color.parse(theme.background or ("#121212" if theme.dark else "#fafafa"))
        text = Color.parse(theme.foreground or ("#e0e0e0" if theme.dark else "#202020"))
        shades = {"muted": 0.62, "faint": 0.42, "track": 0.16}
        return {name: ground.blend(text, share).hex for name, share in shades.items()}

    def on_mount(self) -> None:
        for theme in (DARK, LIGHT):
            self.register_theme(theme)
        self.theme = os.environ.get("CALMTUNE_THEME", DARK.name)
        self._walk()

    @work
    async def _walk(self) -> None:
        """Sessions and walks in turn, until the app is left."""
        session = self._first()
        while True:
            if session is None:
                session = await self.push_screen_wait(SessionsScreen(self._home))
            await self.push_screen_wait(WalkScreen(session))
            session = None

    def _first(self) -> Session | None:
        """The session asked for, else the newest unfinished one here."""
        if self._wanted is not None:
            return Session.open(self._home / self._wanted)
        for folder in sessions_in(self._home)[:1]:
            session = Session.open(folder)
            if any(status.state != "fresh" for status in session.statuses()):
                return session
            session.close()
        return None

    @work
    async def action_quit(self) -> None:  # type: ignore[override]
        """Leave; asks first while a step runs."""
        walk = next((screen for screen in self.screen_stack if isinstance(screen, WalkScreen)), None)
        if walk is None or await walk.may_leave():
            if walk is not None:
                walk.leave_running()
            self.exit()


def run_app(home: Path, session: str | None) -> None:
    """Open the app. Raises UsageError for a session that does not exist."""
    if session is not None:
        Session.open(home / session).close()
    CalmtuneApp(home, session).run()
