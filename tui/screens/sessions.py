"""The first screen: go on with a session, begin one, or look at the demo."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Button, Footer, Input, Label, OptionList, Static
from textual.widgets.option_list import Option

from core.errors import CalmtuneError
from core.wizard.answers import SESSION
from core.wizard.consequences import duration
from core.wizard.recipe import STEP_IDS, step
from core.wizard.session import Session, sessions_in
from tui.opening import open_demo

_WELCOME = """\
Seven steps from an assistant that talks to a big hosted language model
to one that runs on a small model of your own, proven as good:
coverage · data · fine-tuning · evaluation · production model · deployment · connection"""


class SessionsScreen(Screen[Session]):
    """Dismissed with the session to walk through."""

    CSS_PATH = "sessions.tcss"
    BINDINGS = [
        Binding("ctrl+d", "demo", "Demo", tooltip="The shipped sample assistant, on this machine", id="demo"),
        Binding("escape", "app.quit", "Quit", tooltip="Leave calmtune", id="leave"),
    ]

    def __init__(self, home: Path) -> None:
        super().__init__()
        self._home = home

    def compose(self) -> ComposeResult:
        with Vertical(id="page"):
            yield Static(Content.assemble(("calmtune", "bold $text-accent"), f"\n\n{_WELCOME}"), id="welcome")
            yield Label("Go on with", classes="heading", id="known")
            yield OptionList(id="sessions")
            yield Label("Begin with an assistant", classes="heading")
            with Horizontal(id="new"):
                yield Input(placeholder="its folder: config.yml, domain, data, tests", id="path", compact=True)
                yield Button("Begin", variant="primary", id="begin", compact=True)
            yield Label("", id="error", markup=False)
            yield Static(
                Content.assemble(
                    ("No assistant at hand? ", "$muted"), ("ctrl+d", "bold $text-accent"),
                    (" opens the demo: a hostel in a lighthouse, trained on this machine.", "$muted"),
                ),
                id="hint",
            )  # fmt: skip
        yield Footer()

    def on_mount(self) -> None:
        known = self.query_one("#sessions", OptionList)
        known.add_options([Option(_line(folder), id=folder.name) for folder in sessions_in(self._home)])
        known.display = self.query_one("#known").display = bool(known.option_count)
        (known if known.option_count else self.query_one("#path", Input)).focus()

    @on(OptionList.OptionSelected)
    def _resume(self, event: OptionList.OptionSelected) -> None:
        self._leave_with(lambda: Session.open(self._home / str(event.option.id)))

    @on(Button.Pressed, "#begin")
    @on(Input.Submitted, "#path")
    def _begin(self) -> None:
        written = self.query_one("#path", Input).value.strip()
        if not written:
            self.query_one("#error", Label).update("Which folder? Give the path of an assistant.")
            return
        path = Path(written).expanduser()

        def create() -> Session:
            from core.assistant.project import load_assistant

            load_assistant(path)  # says what is wrong before anything is written
            session = Session.create(self._home)
            session.answer(SESSION, {"assistant": str(path.resolve())})
            return session

        self._leave_with(create)

    def action_demo(self) -> None:
        self._leave_with(lambda: open_demo(self._home, "demo"))

    def _leave_with(self, open_session: Callable[[], Session]) -> None:
        try:
            self.dismiss(open_session())
        except CalmtuneError as error:
            self.query_one("#error", Label).update(str(error))


def _line(folder: Path) -> Content:
    """A session with its assistant, where it stands and when it was last used."""
    ago = duration(max(0.0, time.time() - (folder / "session.db").stat().st_mtime))
    try:
        session = Session.open(folder)
    except CalmtuneError as error:
        return Content.assemble(f"{folder.name:<22}", (str(error)[:60], "$text-error"))
    try:
        status = session.status(session.frontier)
        assistant = Path(str(session.answers.get(SESSION, {}).get("assistant", ""))).name
        where = f"{STEP_IDS.index(status.step) + 1} {step(status.step).title}: {status.state}"
        return Content.assemble(
            (f"{session.id:<22}", "bold"), f"{assistant[:20]:<22}{where:<32}", (f"{ago} ago", "$muted")
        )
    except CalmtuneError as error:
        return Content.assemble(f"{folder.name:<22}", (str(error)[:60], "$text-error"))
    finally:
        session.close()
