"""The first screen: go on with a session, or begin one."""

from __future__ import annotations

from pathlib import Path

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical
from textual.screen import Screen
from textual.widgets import Button, DataTable, Footer, Header, Input, Label

from core.errors import CalmtuneError
from core.wizard.answers import SESSION
from core.wizard.session import Session, sessions_in


class SessionsScreen(Screen[Session]):
    """Dismissed with the session to walk through."""

    CSS = """
    SessionsScreen Vertical { padding: 1 2; }
    SessionsScreen DataTable { height: auto; max-height: 12; margin: 0 0 1 0; }
    SessionsScreen #new { height: auto; }
    SessionsScreen #path { width: 1fr; }
    SessionsScreen #error { color: $text-error; height: auto; margin: 1 0; }
    SessionsScreen .heading { text-style: bold; margin: 1 0 0 0; }
    """
    BINDINGS = [Binding("escape", "app.quit", "Quit", tooltip="Leave calmtune")]

    def __init__(self, home: Path) -> None:
        super().__init__()
        self._home = home

    def compose(self) -> ComposeResult:
        yield Header()
        with Vertical():
            yield Label("Sessions here", classes="heading")
            yield DataTable(id="sessions", cursor_type="row")
            yield Label("A new session: the folder of your assistant (config.yml, domain, data)", classes="heading")
            with Horizontal(id="new"):
                yield Input(placeholder="path/to/assistant", id="path")
                yield Button("Begin", variant="primary", id="begin")
            yield Label("", id="error", markup=False)
        yield Footer()

    def on_mount(self) -> None:
        table = self.query_one(DataTable)
        table.add_columns("Session", "Assistant", "Step", "State")
        for folder in sessions_in(self._home):
            try:
                session = Session.open(folder)
                status = session.status(session.frontier)
                assistant = str(session.answers.get(SESSION, {}).get("assistant", ""))
                table.add_row(session.id, assistant, status.step, status.state, key=folder.name)
                session.close()
            except CalmtuneError as error:
                table.add_row(folder.name, "", "", str(error)[:60], key=folder.name)
        if table.row_count:
            table.focus()
        else:
            table.display = False
            self.query_one("#path", Input).focus()

    @on(DataTable.RowSelected)
    def _resume(self, event: DataTable.RowSelected) -> None:
        self._leave_with(lambda: Session.open(self._home / str(event.row_key.value)))

    @on(Button.Pressed, "#begin")
    @on(Input.Submitted, "#path")
    def _begin(self) -> None:
        path = Path(self.query_one("#path", Input).value.strip() or ".").expanduser()

        def create() -> Session:
            from core.assistant.project import load_assistant

            load_assistant(path)  # says what is wrong before anything is written
            session = Session.create(self._home)
            session.answer(SESSION, {"assistant": str(path.resolve())})
            return session

        self._leave_with(create)

    def _leave_with(self, open_session) -> None:  # type: ignore[no-untyped-def]
        try:
            self.dismiss(open_session())
        except CalmtuneError as error:
            self.query_one("#error", Label).update(str(error))
