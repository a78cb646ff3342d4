"""The first screen: go on with a session, begin one, or look at the demo."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Button, Footer, Input, Label, OptionList, Static
from textual.widgets.option_list import Option
from textual.worker import get_current_worker

from core.errors import CalmtuneError
from core.wizard.answers import SESSION
from core.wizard.consequences import duration
from core.wizard.recipe import STEP_IDS, step
from core.wizard.session import Session, last_used, sessions_in
from tui.mishap import mishap_of
from tui.opening import open_demo, typed_path
from tui.safe_text import one_line, safe

_WELCOME = """\
Seven steps from an assistant that talks to a big hosted language model
to one that runs on a small model of your own, proven as good:
coverage · data · fine-tuning · evaluation · production model · deployment · connection"""


class SessionsScreen(Screen[Session]):
    """Dismissed with the session to walk through."""

    CSS_PATH = "sessions.tcss"
    BINDINGS = [
        Binding("ctrl+d", "demo", "Demo", tooltip="The shipped sample assistant, on this machine", priority=True, id="demo"),
        Binding("escape", "app.quit", "Quit", tooltip="Leave calmtune", id="leave-app"),
    ]

    def __init__(self, home: Path) -> None:
        super().__init__()
        self._home = home

    def compose(self) -> ComposeResult:
        with VerticalScroll(id="page", can_focus=False):
            yield Static(Content.assemble(("calmtune", "bold $text-accent"), f"\n\n{_WELCOME}"), id="welcome")
            yield Label("Go on with", classes="heading", id="known")
            yield OptionList(id="sessions")
            yield Label("Begin with an assistant", classes="heading")
            with Horizontal(id="new"):
                yield Input(placeholder="its folder: config.yml, domain, data, tests", id="path", compact=True)
                yield Button("Begin", variant="primary", id="begin", compact=True)
            yield Label("", id="error", markup=False)
            with Horizontal(id="hint"):
                yield Button("Demo", id="demo", compact=True)
                yield Static(Content.styled("No assistant at hand? A sample one, trained here.", "$muted"))
        yield Footer()

    def on_mount(self) -> None:
        known = self.query_one("#sessions", OptionList)
        folders = sessions_in(self._home)
        known.add_options([Option(Content(f"{one_line(folder.name):<18}…"), id=folder.name) for folder in folders])
        known.highlighted = 0 if folders else None  # so that enter goes on with the newest
        known.display = self.query_one("#known").display = bool(folders)
        (known if folders else self.query_one("#path", Input)).focus()
        self._read(folders)

    @work(thread=True, exclusive=True, exit_on_error=False, group="sessions")
    def _read(self, folders: list[Path]) -> None:
        """Where each stands: their databases may be many, and one may be locked."""
        worker = get_current_worker()
        for folder in folders:
            line = _line(folder)
            if worker.is_cancelled:
                return
            self.app.call_from_thread(self._tell, folder.name, line)

    def _tell(self, name: str, line: Content) -> None:
        known = self.query_one("#sessions", OptionList)
        known.replace_option_prompt(name, line)

    @on(OptionList.OptionSelected)
    def _resume(self, event: OptionList.OptionSelected) -> None:
        name = str(event.option.id)
        self._leave_with(lambda: Session.open(self._home / name))

    @on(Button.Pressed, "#begin")
    @on(Input.Submitted, "#path")
    def _begin(self) -> None:
        written = self.query_one("#path", Input).value.strip()
        if not written:
            self._say("Which folder? Give the path of an assistant.")
            return
        path = typed_path(written)

        def create() -> Session:
            from core.assistant.project import load_assistant

            load_assistant(path)  # says what is wrong before anything is written
            session = Session.create(self._home)
            session.answer(SESSION, {"assistant": str(path.resolve())})
            return session

        self._leave_with(create)

    @on(Button.Pressed, "#demo")
    def action_demo(self) -> None:
        self._leave_with(lambda: open_demo(self._home, "demo"))

    @work(exclusive=True, exit_on_error=False, group="open")
    async def _leave_with(self, open_session: Callable[[], Session]) -> None:
        self._say("")
        self.workers.cancel_group(self, "sessions")
        try:
            session = await asyncio.to_thread(open_session)
        except (CalmtuneError, OSError) as error:
            mishap = mishap_of(error, "That did not work")
            self._say(f"{mishap.what}\n{mishap.remedy}" if isinstance(error, OSError) else mishap.what)
        else:
            self.dismiss(session)

    def _say(self, text: str) -> None:
        self.query_one("#error", Label).update(safe(text))


def _line(folder: Path) -> Content:
    """A session with its assistant, where it stands and when it was last used."""
    try:
        seconds = time.time() - last_used(folder)
        ago = f"{duration(seconds)} ago" if seconds >= 60 else "just now"
        session = Session.open(folder)
    except (CalmtuneError, OSError) as error:
        return Content.assemble(f"{one_line(folder.name):<18}", (one_line(str(error), 100), "$text-error"))
    try:
        status = session.status(session.frontier)
        assistant = Path(str(session.answers.get(SESSION, {}).get("assistant", ""))).name
        where = f"{STEP_IDS.index(status.step) + 1} {step(status.step).title}: {status.state}"
        if status.state == "fresh":  # a session stands at the first step that is not
            where = f"all {len(STEP_IDS)} steps are done"
        elsewhere = (" · open elsewhere", "$text-warning") if session.read_only else ("", "")
        return Content.assemble(
            (f"{one_line(session.id, 30):<18}", "bold"), f"{one_line(assistant, 14):<16}{where:<30}", (ago, "$muted"), elsewhere
        )
    except (CalmtuneError, OSError) as error:
        return Content.assemble(f"{one_line(folder.name):<18}", (one_line(str(error), 100), "$text-error"))
    finally:
        session.close()
