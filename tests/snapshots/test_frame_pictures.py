"""What the frame of the app shows of steps as pictures: empty, running, failed, stale; and the windows above it."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.widgets import Input

import tui.screens.chat
from core.wizard.chat import Reply
from core.wizard.consequences import Consequence
from core.wizard.events import Progress
from core.wizard.foreseen import Writes
from core.wizard.recipe import STEP_IDS
from tests.snapshots.steps import opened, shows, until
from tui.mishap import Mishap
from tui.results.panel import ResultPanel
from tui.running import RunningStep
from tui.screens.chat import ChatScreen
from tui.screens.dialogs import ChangeDialog, ErrorDialog
from tui.screens.preview import PreviewScreen
from tui.screens.sessions import SessionsScreen
from tui.screens.tour import TourScreen
from tui.screens.walk import WalkScreen
from tui.widgets.error_card import ErrorCard

pytestmark = pytest.mark.usefixtures("small_steps")
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


async def begun(pilot) -> WalkScreen:
    await until(pilot, lambda: shows(pilot, "#form #help"))
    return pilot.app.screen


def test_the_tour(look):
    async def steps(pilot):
        await begun(pilot)
        pilot.app.push_screen(TourScreen())
        await pilot.press("right")

    assert look(opened(), steps)


def test_no_assistant_named(look):
    async def steps(pilot):
        await until(pilot, lambda: shows(pilot, "#path"))
        await pilot.press("enter")

    assert look(opened(None), steps)


def test_the_list_of_sessions(look):
    async def steps(pilot):
        await begun(pilot)
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(pilot.app.screen, SessionsScreen))
        await until(pilot, lambda: "just now" in str(pilot.app.screen.query_one("#sessions").get_option_at_index(0).prompt))

    assert look(opened(), steps)


def test_answers_not_yet_saved(look):
    async def steps(pilot):
        walk = await begun(pilot)
        walk.query_one("#field-note", Input).value = "it's"
        await until(pilot, lambda: "note" in walk.query_one("CommandBar").command)

    assert look(opened(), steps)


def test_a_stale_step_and_a_card(look):
    async def steps(pilot):
        walk = await begun(pilot)
        for step in STEP_IDS[:2]:
            await pilot.press("ctrl+r")
            await until(pilot, lambda step=step: walk.session.status(step).state == "fresh" and bool(walk.query("#result")))
            await pilot.press("ctrl+n")
            await begun(pilot)
        walk.session.answer("coverage", {"amount": 4})
        walk._mishaps["coverage"] = WRONG
        await walk._show("coverage", edit=True)

    assert look(opened(), steps)


def test_a_failed_step(look):
    async def steps(pilot):
        walk = await begun(pilot)
        walk.query_one("#field-amount", Input).value = "13"
        await pilot.press("ctrl+r")
        await until(pilot, lambda: walk.query_one(ErrorCard).has_focus)

    assert look(opened(), steps)


def test_a_gate_that_does_not_hold(look):
    async def steps(pilot):
        walk = await begun(pilot)
        walk.query_one("#field-amount", Input).value = "-3"
        await pilot.press("ctrl+r")
        await until(pilot, lambda: shows(pilot, ResultPanel))

    assert look(opened(), steps)


def test_a_running_step(look):
    async def steps(pilot):
        walk = await begun(pilot)
        walk.at_work = RunningStep(walk.session, "coverage", lambda run: None)
        walk.at_work._hear(Progress(3, 9, "tests"))
        await walk._show("coverage")
        await until(pilot, lambda: "3 of 9" in "".join(str(label.render()) for label in walk.query("#progress-label")))

    assert look(opened(), steps)


@pytest.mark.parametrize("window", ["change", "error", "preview"])
def test_windows(look, window):
    stale = [Consequence("training", "learning rate 0.0001 → 0.0002", 900.0, 1.4), Consequence("evaluation", "training changed", 60.0)]
    diff = "--- a/endpoints.yml\n+++ b/endpoints.yml\n@@ -1 +1 @@\n-big: model [/x]\n+calmtune: model\n"
    windows = {
        "change": lambda: ChangeDialog(stale, {"training": "Fine-tuning", "evaluation": "Evaluation"}),
        "error": lambda: ErrorDialog(WRONG),
        "preview": lambda: PreviewScreen("Connection", lambda: Writes("a copy in the session", {"endpoints.yml": diff}, {}), True),
    }

    async def steps(pilot):
        await begun(pilot)
        pilot.app.push_screen(windows[window]())
        await pilot.pause(0.5)

    assert look(opened(), steps)


def test_a_conversation(look):
    async def steps(pilot):
        walk = await begun(pilot)
        pilot.app.push_screen(Talk(walk.session))
        await until(pilot, lambda: shows(pilot, ".bot"))

    assert look(opened(), steps)
