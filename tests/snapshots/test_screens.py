"""Every screen as a picture, in a wide dark and a narrow light terminal. `pytest tests/snapshots --snapshot-update` takes them anew."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.widgets import Input

from core.wizard.events import Log, Metric, Notice, Progress
from core.wizard.session import Session
from tests.fake_recipe import install
from tui.app import CalmtuneApp
from tui.results.panel import ResultPanel
from tui.running import RunningStep
from tui.screens.dialogs import LeaveDialog
from tui.screens.sessions import SessionsScreen
from tui.screens.walk import WalkScreen
from tui.widgets.error_card import ErrorCard
from tui.widgets.question_form import QuestionForm
from tui.widgets.run_panel import RunPanel

PARCELS = Path(__file__).resolve().parents[1] / "assistants" / "parcels"
TERMINALS = {"wide": ((120, 36), "calm-dark"), "narrow": ((80, 24), "calm-light")}


@pytest.fixture(params=list(TERMINALS))
def look(request, snap_compare, tmp_path, monkeypatch):
    """look(steps, session): compare the app after some steps, in a folder of its own where nothing depends on the day."""
    import tui.screens.sessions
    import tui.widgets.run_panel

    size, theme = TERMINALS[request.param]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CALMTUNE_THEME", theme)
    monkeypatch.setattr(Input, "cursor_blink", False)
    for module in (tui.screens.sessions, tui.widgets.run_panel):
        monkeypatch.setattr(module, "duration", lambda seconds: "a while")
    Path("parcels").symlink_to(PARCELS)

    def compare(steps, session: str | None = "one") -> bool:
        home = Path("sessions")
        if session is not None:
            opened = Session.create(home, session)
            opened.answer("session", {"assistant": "parcels"})
            opened.close()
        return snap_compare(CalmtuneApp(home, session), terminal_size=size, run_before=steps)

    return compare


async def until(pilot, condition) -> None:
    for _ in range(400):
        await pilot.pause(0.02)
        if condition():
            await pilot.pause(0.2)
            return
    raise AssertionError("it did not come about")


def shows(pilot, kind) -> bool:
    return bool(pilot.app.screen.query(kind))


def test_first_run(look):
    async def steps(pilot):
        await until(pilot, lambda: isinstance(pilot.app.screen, SessionsScreen))

    assert look(steps, None)


def test_a_list_of_sessions(look):
    async def steps(pilot):
        await until(pilot, lambda: isinstance(pilot.app.screen, WalkScreen))
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(pilot.app.screen, SessionsScreen))

    assert look(steps)


def test_a_form(look):
    async def steps(pilot):
        await until(pilot, lambda: shows(pilot, QuestionForm))

    assert look(steps)


def test_a_wrong_answer(look):
    async def steps(pilot):
        await until(pilot, lambda: shows(pilot, QuestionForm))
        pilot.app.screen.query_one("#field-total_min", Input).value = "[/x]"
        await pilot.press("ctrl+r")

    assert look(steps)


@pytest.mark.parametrize("tab", [0, 1, 2], ids=["flows", "commands", "tests"])
def test_the_coverage_review(look, tab):
    async def steps(pilot):
        await until(pilot, lambda: shows(pilot, QuestionForm))
        await pilot.press("ctrl+r")
        await until(pilot, lambda: shows(pilot, "#flows"))
        tabs = pilot.app.screen.query_one("TabbedContent Tabs")
        tabs.focus()
        await pilot.press(*["right"] * tab)

    assert look(steps)


def test_prepared_rows(look):
    async def steps(pilot):
        await until(pilot, lambda: shows(pilot, QuestionForm))
        await pilot.press("ctrl+r")
        await until(pilot, lambda: shows(pilot, ResultPanel))
        await pilot.press("ctrl+n")
        pilot.app.screen.query_one("#field-rephraser", Input).value = "none"
        await pilot.press("ctrl+r")
        await until(pilot, lambda: shows(pilot, "#quality"))

    assert look(steps)


def test_help(look):
    async def steps(pilot):
        await until(pilot, lambda: shows(pilot, QuestionForm))
        await pilot.press("f1")

    assert look(steps)


def test_a_failed_step(look, monkeypatch):
    import tui.screens.walk

    install(monkeypatch)
    monkeypatch.setattr(tui.screens.walk, "step", __import__("core.wizard.session").wizard.session.step)

    async def steps(pilot):
        await until(pilot, lambda: shows(pilot, QuestionForm))
        pilot.app.screen.query_one("#field-amount", Input).value = "13"
        await pilot.press("ctrl+r")
        await until(pilot, lambda: pilot.app.screen.query_one(ErrorCard).has_focus)
        pilot.app.clear_notifications()

    assert look(steps)


def test_a_gate_that_does_not_hold(look, monkeypatch):
    import tui.screens.walk

    install(monkeypatch)
    monkeypatch.setattr(tui.screens.walk, "step", __import__("core.wizard.session").wizard.session.step)

    async def steps(pilot):
        await until(pilot, lambda: shows(pilot, QuestionForm))
        pilot.app.screen.query_one("#field-amount", Input).value = "-3"
        await pilot.press("ctrl+r")
        await until(pilot, lambda: shows(pilot, ResultPanel))

    assert look(steps)


def test_a_training_under_way(look):
    events = [
        Log("500 rows, 16 a step, 60 steps [not markup]"),
        Notice("warning", "the prompts of this template share little"),
        Progress(60, 91, "steps", 120.0, "training"),
    ]
    for n in range(60):
        values = {"loss": 3 * 0.93**n + 0.1 * (n % 3), "tokens_per_second": 1700.0, "unique_token_ratio": 7.1}
        events.append(Metric(n, values | ({"eval_loss": 3 * 0.93**n + 0.2} if n % 10 == 9 else {})))

    async def steps(pilot):
        await until(pilot, lambda: shows(pilot, QuestionForm))
        walk = pilot.app.screen
        walk.at_work = RunningStep(walk.session, walk.view, lambda run: None)
        await walk._show(walk.view)
        await until(pilot, lambda: shows(pilot, RunPanel))
        walk.query_one(RunPanel).show_events(events)
        walk.at_work = None

    assert look(steps)


def test_leaving_while_something_runs(look):
    async def steps(pilot):
        await until(pilot, lambda: shows(pilot, QuestionForm))
        pilot.app.push_screen(LeaveDialog(["Fine-tuning (step 3)"], "one"))

    assert look(steps)
