"""The app on the real steps as pictures: from the first run to a training under way."""

from __future__ import annotations

import pytest
from textual.widgets import Input

from core.wizard.events import Log, Metric, Notice, Progress
from tests.snapshots.steps import opened, shows, until
from tui.leaving import GoesOn
from tui.results.panel import ResultPanel
from tui.running import RunningStep
from tui.screens.dialogs import LeaveDialog
from tui.screens.sessions import SessionsScreen
from tui.widgets.question_form import QuestionForm
from tui.widgets.run_panel import RunPanel


async def to_the_form(pilot) -> None:
    await until(pilot, lambda: shows(pilot, QuestionForm))


def test_first_run(look):
    async def steps(pilot):
        await until(pilot, lambda: isinstance(pilot.app.screen, SessionsScreen))

    assert look(opened(None), steps)


def test_a_form(look):
    assert look(opened(), to_the_form)


def test_a_wrong_answer(look):
    async def steps(pilot):
        await to_the_form(pilot)
        pilot.app.screen.query_one("#field-total_min", Input).value = "[/x]"
        await pilot.press("ctrl+r")

    assert look(opened(), steps)


@pytest.mark.parametrize("tab", [0, 1, 2], ids=["flows", "commands", "tests"])
def test_the_coverage_review(look, tab):
    async def steps(pilot):
        await to_the_form(pilot)
        await pilot.press("ctrl+r")
        await until(pilot, lambda: shows(pilot, "#flows"))
        tabs = pilot.app.screen.query_one("TabbedContent Tabs")
        tabs.focus()
        await pilot.press(*["right"] * tab)

    assert look(opened(), steps)


def test_prepared_rows(look):
    async def steps(pilot):
        await to_the_form(pilot)
        await pilot.press("ctrl+r")
        await until(pilot, lambda: shows(pilot, ResultPanel))
        await pilot.press("ctrl+n")
        pilot.app.screen.query_one("#field-rephraser", Input).value = "none"
        await pilot.press("ctrl+r")
        await until(pilot, lambda: shows(pilot, "#quality"))

    assert look(opened(), steps)


def test_help(look):
    async def steps(pilot):
        await to_the_form(pilot)
        await pilot.press("f1")

    assert look(opened(), steps)


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
        await to_the_form(pilot)
        walk = pilot.app.screen
        walk.at_work = RunningStep(walk.session, walk.view, lambda run: None)
        await walk._show(walk.view)
        await until(pilot, lambda: shows(pilot, RunPanel))
        walk.query_one(RunPanel).show_events(events)
        walk.at_work = None

    assert look(opened(), steps)


def test_leaving_while_something_runs(look):
    async def steps(pilot):
        await to_the_form(pilot)
        pilot.app.push_screen(LeaveDialog(GoesOn(running=("Fine-tuning (step 3)",)), "one"))

    assert look(opened(), steps)
