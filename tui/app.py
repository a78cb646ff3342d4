"""The Textual app: a list of sessions, and the walk through one of them."""

from __future__ import annotations

from pathlib import Path

from textual import work
from textual.app import App
from textual.binding import Binding

from core.wizard.session import Session, sessions_in
from tui.screens.sessions import SessionsScreen
from tui.screens.walk import WalkScreen


class CalmtuneApp(App[None]):
    """Shows screens; everything of the recipe is in core."""

    TITLE = "calmtune"
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (100, "-wide")]
    BINDINGS = [Binding("ctrl+q", "quit", "Quit", tooltip="Leave; running jobs go on")]

    def __init__(self, home: Path, session: str | None = None) -> None:
        super().__init__()
        self._home, self._wanted = home, session

    def on_mount(self) -> None:
        self._walk()

    @work
    async def _walk(self) -> None:
        """Sessions and walks in turn, until the app is left."""
        session = self._first()
        while True:
            if session is None:
                session = await self.push_screen_wait(SessionsScreen(self._home))
            if session is None:
                self.exit()
                return
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

    async def action_quit(self) -> None:
        if isinstance(self.screen, WalkScreen):
            self.screen.leave_running()
        self.exit()


def run_app(home: Path, session: str | None) -> None:
    """Open the app. Raises UsageError for a session that does not exist."""
    if session is not None:
        Session.open(home / session).close()
    CalmtuneApp(home, session).run()
