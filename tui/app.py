"""The Textual app: a list of sessions, and the walk through one of them."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rich.text import Text
from textual import on, work
from textual.app import App, SystemCommand
from textual.binding import Binding
from textual.color import Color
from textual.css.query import NoMatches
from textual.screen import Screen
from textual.theme import Theme
from textual.worker import Worker, WorkerState

from core.collector import spare_what_is_there
from core.errors import CalmtuneError
from core.wizard.session import Session, sessions_in
from tui import remembered
from tui.ending import CANCELLED
from tui.keymap import keymap_file, named_bindings, read_keymap, shown_file, write_template
from tui.leaving import what_goes_on
from tui.mishap import Mishap, mishap_of
from tui.palette import KeyCommands
from tui.safe_text import safe
from tui.screens import dialogs
from tui.screens.help import help_for
from tui.screens.sessions import SessionsScreen
from tui.screens.tour import TourScreen
from tui.screens.walk import WalkScreen
from tui.theme import DARK, LIGHT, theme_to_begin_with
from tui.type_ahead import TypeAheadApp


class CalmtuneApp(TypeAheadApp):
    """Shows screens; everything of the recipe is in core."""

    TITLE = "calmtune"
    CSS_PATH = "narrow.tcss"
    COMMANDS = App.COMMANDS | {KeyCommands}
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (100, "-middling"), (116, "-wide"), (150, "-huge")]
    VERTICAL_BREAKPOINTS = [(0, "-low"), (34, "-tall")]
    BINDINGS = [
        Binding("ctrl+q", "quit", "Quit", tooltip="Leave; running jobs go on", show=False, id="quit"),
        Binding("f1", "help", "Help", tooltip="Where you are, and the keys that work here", id="help"),
    ]

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
        self.theme, odd = theme_to_begin_with(os.environ, remembered.recall(remembered.THEME), self.available_themes)
        if odd:
            self.notify(odd, severity="warning")
        self._last_theme = self.theme
        self.theme_changed_signal.subscribe(self, self._remember_theme)
        self._read_keymap()
        if not self.is_headless:
            self._hear_signals()
        self._walk()

    def _remember_theme(self, theme: Theme) -> None:
        if theme.name != self._last_theme:  # the first one was not chosen here
            remembered.remember(remembered.THEME, theme.name)
        self._last_theme = theme.name

    def notify(self, message: str, *, title: str = "", markup: bool = False, **options: Any) -> None:
        """As in Textual, but texts are never markup and never move the terminal's cursor: they may be anybody's."""
        super().notify(safe(message), title=safe(title), markup=False, **options)

    def show_mishap(self, mishap: Mishap) -> None:
        """Over whatever is on the screen."""
        self.push_screen(dialogs.ErrorDialog(mishap))

    @on(Worker.StateChanged)
    def _worker_changed(self, event: Worker.StateChanged) -> None:
        if event.state is WorkerState.ERROR and event.worker.error is not None:
            self.show_mishap(mishap_of(event.worker.error, "That did not work"))

    def _handle_exception(self, error: Exception) -> None:
        """While the app is left its widgets go one by one, some before they were whole: one that misses another then is no error."""
        being_left = not self.is_running or self.return_code is not None
        if not (isinstance(error, NoMatches) and being_left):
            super()._handle_exception(error)

    # Keys, themes and commands

    def _read_keymap(self) -> None:
        if not keymap_file().is_file():
            return
        keys, problems = read_keymap(keymap_file(), self.named_bindings)
        self.set_keymap(keys)
        if problems:
            what = "\n".join(str(problem) for problem in problems)
            remedy = f"mend {shown_file()}; these keys are as always, the others of the file are changed"
            self.notify(f"{what}\n{remedy}", title="The keymap has mistakes", severity="warning", timeout=20)

    @property
    def named_bindings(self) -> dict[str, Binding]:
        """Every key that can be changed; loads all screens."""
        from tui.screens.with_keys import WITH_KEYS

        return named_bindings(found.__dict__.get("BINDINGS", []) for found in (type(self), *WITH_KEYS))

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        hidden = {"Keys", "Quit", "Theme"} if "NO_COLOR" in os.environ else {"Keys", "Quit"}
        yield from (command for command in super().get_system_commands(screen) if command.title not in hidden)
        yield SystemCommand("Quit", "Leave calmtune; asks first while something runs", self.action_quit)
        yield SystemCommand("Help", "Where you are, and the keys that work here", self.action_help)
        yield SystemCommand("Tour", "The three pages for newcomers", lambda: self.push_screen(TourScreen()))
        yield SystemCommand("Change keys", f"Write {shown_file()}, where every action can get another key", self._change_keys)

    def _change_keys(self) -> None:
        try:
            new = write_template(keymap_file(), self.named_bindings)
        except OSError as error:
            self.show_mishap(mishap_of(error, "The keymap cannot be written"))
            return
        what = "is written: every action with its key" if new else "is there already"
        self.notify(f"{shown_file()} {what}. Change it and start calmtune again.", timeout=20)

    def action_help(self) -> None:
        """Where one is: the screen, the field that has the focus, the keys."""
        self.push_screen(help_for(self.screen))

    # Sessions

    @work(exit_on_error=False)
    async def _walk(self) -> None:
        """Sessions and walks in turn, until the app is left."""
        session: Session | None = None
        try:
            session = await asyncio.to_thread(self._first)
        except (CalmtuneError, OSError) as error:
            self.show_mishap(mishap_of(error, "The session cannot be opened"))
        if session is None and not sessions_in(self._home) and not remembered.recall(remembered.TOURED):
            await self.push_screen_wait(TourScreen())
            remembered.remember(remembered.TOURED, True)
        while True:
            if session is None:
                session = await self.push_screen_wait(SessionsScreen(self._home))
            try:
                walk = WalkScreen(session)
            except (CalmtuneError, OSError) as error:
                self.show_mishap(mishap_of(error, f"Session {session.id} cannot be shown", session))
            else:
                await self.push_screen_wait(walk)
            session = None

    def _first(self) -> Session | None:
        """The session asked for, else the newest unfinished one here. Raises CalmtuneError and OSError."""
        if self._wanted is not None:
            return Session.open(self._home / self._wanted)
        for folder in sessions_in(self._home)[:1]:
            session = Session.open(folder)
            if any(status.state != "fresh" for status in session.statuses()):
                return session
            session.close()
        return None

    @work(exit_on_error=False)
    async def action_quit(self) -> None:  # type: ignore[override]
        """Leave; asks first while a step runs."""
        walk = self._open_walk
        if walk is None or await walk.may_leave():
            self._leave()

    def _hear_signals(self) -> None:
        """SIGTERM: leave without asking. SIGHUP ends the process at once: its terminal is gone, and Textual would wait for it forever."""
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self._leave, CANCELLED)
        if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # as `nohup` has it
            signal.signal(signal.SIGHUP, signal.SIG_DFL)

    @property
    def _open_walk(self) -> WalkScreen | None:
        return next((screen for screen in self.screen_stack if isinstance(screen, WalkScreen)), None)

    def _leave(self, return_code: int = 0) -> None:
        """Let go of the session, and say what goes on without the app."""
        told = ""
        if (walk := self._open_walk) is not None:
            goes_on = what_goes_on(walk.session, walk.at_work.step if walk.at_work else None)
            ends = f"`calmtune stop {walk.session.id}` ends it"
            going = [f"{safe(what)} goes on; {ends}" for what in (*goes_on.running, *goes_on.serving)]
            told = "\n".join([*(f"{what} ended; `calmtune resume {walk.session.id}` takes it up again" for what in goes_on.ending), *going])
            walk.leave_running()
        self.exit(return_code=return_code, message=Text(told) if told else None)


def run_app(home: Path, session: str | None) -> None:
    """Open the app. Raises UsageError for a session that does not exist, SystemExit where the app ended otherwise than by its keys."""
    if session is not None:
        Session.open(home / session).close()
    app = CalmtuneApp(home, session)
    stay_responsive()
    app.run()
    if app.return_code:
        sys.exit(app.return_code)


def stay_responsive() -> None:
    """Let nothing that this process does beside the screen hold it up: neither the collector nor busy worker threads, each of which would
    give way after 5 ms only, whenever the screen's own thread has let go of Python to write or to look at a file."""
    spare_what_is_there()
    sys.setswitchinterval(0.0002)
