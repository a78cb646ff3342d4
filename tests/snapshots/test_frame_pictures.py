"""The frame of the app as pictures: each state in a narrow and a wide terminal, light and dark, and without colours."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.widgets import Input

import core.wizard.session
import tui.screens.chat
import tui.screens.dialogs
import tui.screens.sessions
import tui.screens.walk
import tui.widgets.run_panel
from core.wizard.chat import Reply
from core.wizard.consequences import Consequence
from core.wizard.events import Progress
from core.wizard.foreseen import Writes
from core.wizard.recipe import STEP_IDS
from core.wizard.session import Session
from tests.fake_recipe import install
from tui.app import CalmtuneApp
from tui.mishap import Mishap
from tui.running import RunningStep
from tui.screens.chat import ChatScreen
from tui.screens.dialogs import ChangeDialog, ErrorDialog
from tui.screens.preview import PreviewScreen
from tui.screens.sessions import SessionsScreen
from tui.screens.tour import TourScreen
from tui.screens.walk import WalkScreen

PARCELS = Path(__file__).resolve().parents[1] / "assistants" / "parcels"
WITHOUT_COLOURS = ((80, 24), "ansi-dark", True)
LOOKS = {
    "narrow-light": ((80, 24), "calm-light", False),
    "wide-dark": ((120, 36), "calm-dark", False),
}
WRONG = Mishap(
    "Fine-tuning did not finish", "the job failed: out of memory [/x]\nat step 12", "lower rows_per_step, then run again",
    "calmtune resume one --until training", "sessions/one/jobs/one-training-1/log.txt",
)  # fmt: skip


class Talk(ChatScreen):
    """A conversation whose model is this test."""

    CSS_PATH = Path(tui.screens.chat.__file__).with_name("chat.tcss")

    def _converse(self) -> None:
        self._show(None, Reply(("Hello, what can I do?",)))
        answer = Reply(("How heavy is it?",), ("1 kg", "2 kg"), "start flow send_parcel", 0.12, ("send_parcel started",))
        self._show("send a parcel to [/x] street", answer)
        self._ready(True)


@pytest.fixture(params=LOOKS.values(), ids=list(LOOKS))
def look(request, snap_compare, tmp_path, monkeypatch):
    """look(steps): compare the app on a session of steps that do next to nothing, where nothing depends on the day."""
    size, theme, without_colours = request.param
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CALMTUNE_THEME", theme)
    monkeypatch.setattr(Input, "cursor_blink", False)
    if without_colours:
        monkeypatch.setenv("NO_COLOR", "1")
    install(monkeypatch)
    monkeypatch.setattr(tui.screens.walk, "step", core.wizard.session.step)
    for module in (tui.screens.sessions, tui.screens.dialogs, tui.widgets.run_panel):
        monkeypatch.setattr(module, "duration", lambda seconds: "a while")
    Path("parcels").symlink_to(PARCELS)

    def compare(steps, session: str | None = "one") -> bool:
        home = Path("sessions")
        if session is not None:
            opened = Session.create(home, session)
            opened.answer("session", {"assistant": "parcels"})
            opened.close()

        async def run(pilot) -> None:
            await until(pilot, lambda: bool(pilot.app.screen.query("#form #help, #path")))
            await steps(pilot, pilot.app)
            await pilot.pause(0.3)
            pilot.app.clear_notifications()

        return snap_compare(CalmtuneApp(home, session), terminal_size=size, run_before=run)

    return compare


async def until(pilot, condition) -> None:
    for _ in range(600):
        await pilot.pause(0.02)
        if condition():
            await pilot.pause(0.1)
            return
    raise AssertionError("it did not come about")


def test_the_tour(look):
    async def steps(pilot, app):
        app.push_screen(TourScreen())
        await pilot.press("right")

    assert look(steps)


def test_no_sessions_yet(look):
    async def steps(pilot, app):
        await pilot.press("enter")

    assert look(steps, None)


def test_the_list_of_sessions(look):
    async def steps(pilot, app):
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, SessionsScreen))
        await until(pilot, lambda: "just now" in str(app.screen.query_one("#sessions").get_option_at_index(0).prompt))

    assert look(steps)


def test_answers_not_yet_saved(look):
    async def steps(pilot, app):
        app.screen.query_one("#field-note", Input).value = "it's"
        await until(pilot, lambda: "note" in app.screen.query_one("CommandBar").command)

    assert look(steps)


@pytest.mark.parametrize("look", [*LOOKS.values(), WITHOUT_COLOURS], ids=[*LOOKS, "narrow-no-colour"], indirect=True)
def test_a_stale_step_and_a_card(look):
    async def steps(pilot, app):
        walk = app.screen
        for step in STEP_IDS[:2]:
            await pilot.press("ctrl+r")
            await until(pilot, lambda step=step: walk.session.status(step).state == "fresh" and bool(walk.query("#result")))
            await pilot.press("ctrl+n")
            await until(pilot, lambda: bool(walk.query("#form #help")))
        walk.session.answer("coverage", {"amount": 4})
        walk._mishaps["coverage"] = WRONG
        await walk._show("coverage", edit=True)

    assert look(steps)


def test_a_running_step(look):
    async def steps(pilot, app):
        walk = app.screen
        walk.at_work = RunningStep(walk.session, "coverage", lambda run: None)
        walk.at_work._hear(Progress(3, 9, "tests"))
        await walk._show("coverage")
        await until(pilot, lambda: "3 of 9" in "".join(str(label.render()) for label in walk.query("#progress-label")))

    assert look(steps)


@pytest.mark.parametrize("window", ["change", "error", "preview"])
def test_windows(look, window):
    stale = [Consequence("training", "learning rate 0.0001 → 0.0002", 900.0, 1.4), Consequence("evaluation", "training changed", 60.0)]
    diff = "--- a/endpoints.yml\n+++ b/endpoints.yml\n@@ -1 +1 @@\n-big: model [/x]\n+calmtune: model\n"
    windows = {
        "change": lambda: ChangeDialog(stale, {"training": "Fine-tuning", "evaluation": "Evaluation"}),
        "error": lambda: ErrorDialog(WRONG),
        "preview": lambda: PreviewScreen("Connection", lambda: Writes("a copy in the session", {"endpoints.yml": diff}, {}), True),
    }

    async def steps(pilot, app):
        app.push_screen(windows[window]())
        await pilot.pause(0.5)

    assert look(steps)


def test_a_conversation(look):
    async def steps(pilot, app):
        assert isinstance(app.screen, WalkScreen)
        app.push_screen(Talk(app.screen.session))
        await until(pilot, lambda: bool(app.screen.query(".bot")))

    assert look(steps)
