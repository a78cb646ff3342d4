"""The app, driven as a person would drive it."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.widgets import Button, Checkbox, Input, Label, OptionList, Static

from core.wizard.answers import questions
from core.wizard.events import Log, Metric, Notice, Progress
from core.wizard.recipe import STEP_IDS
from core.wizard.session import Session
from tests.fake_recipe import install
from tui.app import CalmtuneApp
from tui.results.panel import ResultPanel
from tui.screens.dialogs import HelpDialog, LeaveDialog
from tui.screens.sessions import SessionsScreen
from tui.screens.walk import WalkScreen
from tui.widgets.curve import summarise
from tui.widgets.loss_chart import LossChart
from tui.widgets.question_form import QuestionForm, meaning_of_empty
from tui.widgets.run_panel import RunPanel
from tui.widgets.scoreboard import Scoreboard

PARCELS = Path(__file__).resolve().parents[1] / "assistants" / "parcels"
SIZES = [(80, 24), (120, 36)]


async def until(pilot, condition, what="something") -> None:
    for _ in range(400):
        await pilot.pause(0.02)
        if condition():
            return
    raise AssertionError(f"{what} did not come about")


async def begin(app, pilot, path=PARCELS) -> WalkScreen:
    await until(pilot, lambda: isinstance(app.screen, SessionsScreen) and bool(app.screen.query("#path")), "the list of sessions")
    app.screen.query_one("#path", Input).value = str(path)
    await pilot.press("enter")
    await until(pilot, lambda: isinstance(app.screen, WalkScreen) and bool(app.screen.query("#form #help")), "the walk")
    return app.screen


@pytest.mark.parametrize("size", SIZES)
async def test_the_coverage_review_runs_and_shows_its_gates(tmp_path, size):
    app = CalmtuneApp(tmp_path / "sessions")
    async with app.run_test(size=size) as pilot:
        walk = await begin(app, pilot)
        assert walk.view == "coverage"
        await pilot.press("ctrl+r")
        await until(pilot, lambda: bool(walk.query(ResultPanel)), "the result")
        await until(pilot, lambda: bool(walk.query("#flows")), "its parts")
        assert "✓ passed" in str(walk.query_one(Scoreboard).render())
        assert walk.query_one("#flows", OptionList).option_count == len(
            walk.session.status("coverage").outputs.summary["flows"]
        )
        await pilot.press("ctrl+n")
        await until(pilot, lambda: walk.view == "dataset", "the next step")
        assert walk.query_one(QuestionForm)
        await pilot.press("ctrl+b")
        await until(pilot, lambda: bool(walk.query(ResultPanel)), "the way back")


async def test_a_wrong_path_is_a_sentence_and_nothing_is_written(tmp_path):
    app = CalmtuneApp(tmp_path / "sessions")
    async with app.run_test() as pilot:
        await until(pilot, lambda: isinstance(app.screen, SessionsScreen) and bool(app.screen.query("#path")))
        app.screen.query_one("#path", Input).value = "/no/such [/place]"
        await pilot.press("enter")
        await until(pilot, lambda: "is not a folder" in str(app.screen.query_one("#error", Label).render()))
        assert not (tmp_path / "sessions").exists()


async def test_a_wrong_answer_is_shown_in_the_form(tmp_path):
    app = CalmtuneApp(tmp_path / "sessions")
    async with app.run_test(size=(120, 36)) as pilot:
        walk = await begin(app, pilot)
        walk.query_one("#field-total_min", Input).value = "lots"
        await pilot.press("ctrl+r")
        await pilot.pause()
        assert "total_min" in str(walk.query_one("#form-error", Label).render())
        assert walk.session.status("coverage").state == "ready"


async def test_a_whole_walk_and_resuming_it(tmp_path, monkeypatch):
    install(monkeypatch)
    import tui.screens.walk

    monkeypatch.setattr(tui.screens.walk, "step", __import__("core.wizard.session").wizard.session.step)
    app = CalmtuneApp(tmp_path / "sessions")
    async with app.run_test(size=(120, 36)) as pilot:
        walk = await begin(app, pilot)
        for number, id in enumerate(("coverage", "dataset", "training")):
            assert walk.view == id
            await pilot.press("ctrl+r")
            await until(pilot, lambda number=number: walk.session.statuses()[number].state == "fresh", id)
            await until(pilot, lambda: bool(walk.query(ResultPanel)), "the result")
            await pilot.press("ctrl+n")
            await until(pilot, lambda number=number: walk.view == STEP_IDS[number + 1], "the next step")
    app = CalmtuneApp(tmp_path / "sessions")
    async with app.run_test(size=(120, 36)) as pilot:
        await until(pilot, lambda: isinstance(app.screen, WalkScreen), "the newest unfinished session")
        assert app.screen.view == "evaluation"
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, SessionsScreen) and app.focused is not None, "the list of sessions")
        assert app.screen.query_one("#sessions", OptionList).option_count == 1
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, WalkScreen), "the session, which enter goes on with")


async def test_a_failed_step_says_why(tmp_path, monkeypatch):
    install(monkeypatch)
    import tui.screens.walk

    monkeypatch.setattr(tui.screens.walk, "step", __import__("core.wizard.session").wizard.session.step)
    session = Session.create(tmp_path / "sessions", "one")
    session.answer("session", {"assistant": str(PARCELS)})
    session.close()
    app = CalmtuneApp(tmp_path / "sessions", "one")
    async with app.run_test(size=(120, 36)) as pilot:
        await until(pilot, lambda: isinstance(app.screen, WalkScreen) and bool(app.screen.query("#form #help")))
        walk = app.screen
        walk.query_one("#field-amount", Input).value = "13"
        await pilot.press("ctrl+r")
        await until(pilot, lambda: "unlucky" in str(walk.query_one("#mishap", Static).render()), "the reason")
        await until(pilot, lambda: walk.query_one("#run", Button).display, "the way to run it again")


async def test_events_are_drawn(tmp_path):
    from textual.app import App

    class Host(App[None]):
        def compose(self):
            yield RunPanel()

    app = Host()
    async with app.run_test(size=(100, 40)) as pilot:
        panel = app.query_one(RunPanel)
        points = [
            Metric(n, {"loss": 3 * 0.9**n, **({"eval_loss": 3 * 0.9**n + 0.1} if n % 5 == 0 else {})})
            for n in range(40)
        ]
        panel.show_events(
            [Log("text with [/brackets] and [red]"), Notice("warning", "[b]"), Progress(3, 10, "steps"), *points]
        )
        await pilot.pause()
        chart = app.query_one(LossChart)
        assert len(chart.training.values) == 40
        assert chart.summary == summarise(chart.training, chart.validation)
        assert chart.summary.startswith("train 0.049 falling, validation")
        chart.focus()
        await pilot.press("y", "s")
        assert chart.log_scale
        text = "\n".join(
            "".join(segment.text for segment in strip) for strip in chart._draw(80, 12) for strip in [strip]
        )
        assert any("⠀" < character <= "⣿" for character in text)


async def test_leaving_asks_while_a_step_runs_and_stopping_waits_for_its_end(tmp_path, monkeypatch):
    import asyncio

    install(monkeypatch)
    import tui.screens.walk

    steps = __import__("core.wizard.session").wizard.session.step
    monkeypatch.setattr(tui.screens.walk, "step", steps)
    ended = []

    async def long_run(self, context):
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    monkeypatch.setattr(type(steps("coverage")), "run", long_run)
    app = CalmtuneApp(tmp_path / "sessions")
    async with app.run_test(size=(120, 36)) as pilot:
        walk = await begin(app, pilot)
        await pilot.press("ctrl+r")
        await until(pilot, lambda: walk.at_work is not None, "the running step")
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, LeaveDialog), "the question")
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is walk, "staying")
        assert not ended
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, LeaveDialog), "the question")
        assert "It ends with the app" in str(app.screen.query_one(Static).render())  # no job does its work
        await pilot.click("#stop")
        await until(pilot, lambda: isinstance(app.screen, SessionsScreen) and app.focused is not None, "the list of sessions")
        assert ended
        assert "interrupted" in str(app.screen.query_one("#sessions", OptionList).get_option_at_index(0).prompt)


async def test_editing_an_answer_says_what_would_run_again_before_it_is_taken_over(tmp_path, monkeypatch):
    install(monkeypatch)
    import tui.screens.walk

    monkeypatch.setattr(tui.screens.walk, "step", __import__("core.wizard.session").wizard.session.step)
    app = CalmtuneApp(tmp_path / "sessions")
    async with app.run_test(size=(120, 36)) as pilot:
        walk = await begin(app, pilot)
        for number in range(2):
            await pilot.press("ctrl+r")
            await until(
                pilot, lambda number=number: walk.session.statuses()[number].state == "fresh", "a finished step"
            )
            await until(pilot, lambda: bool(walk.query(ResultPanel)), "the result")
            await pilot.press("ctrl+n")
        await pilot.press("ctrl+b", "ctrl+b")
        await pilot.press("ctrl+n")
        await until(
            pilot, lambda: walk.view == "dataset" and walk.query_one("#result").display, "one result after another"
        )
        await pilot.press("ctrl+b", "ctrl+e")
        await until(pilot, lambda: bool(walk.query(QuestionForm)), "the form")
        walk.query_one("#field-amount", Input).value = "4"
        label = walk.query_one("#consequence", Label)
        await until(pilot, lambda: "Coverage (amount 1 → 4), Dataset" in str(label.render()), "the consequence")
        assert walk.session.status("coverage").state == "fresh"


async def test_f1_explains_the_step_and_names_the_keys(tmp_path):
    app = CalmtuneApp(tmp_path / "sessions")
    async with app.run_test(size=(120, 36)) as pilot:
        await begin(app, pilot)
        await pilot.press("f1")
        await until(pilot, lambda: isinstance(app.screen, HelpDialog), "help")
        text = "\n".join(str(part.render()) for part in app.screen.query(Static))
        assert "Coverage review" in text
        assert "ctrl+r" in text
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, WalkScreen), "the walk again")


async def test_a_flag_says_in_words_whether_it_is_set(tmp_path, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    session = Session.create(tmp_path / "sessions", "one")
    session.answer("session", {"assistant": str(PARCELS)})
    session.close()
    app = CalmtuneApp(tmp_path / "sessions", "one")
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: isinstance(app.screen, WalkScreen) and bool(app.screen.query("#form *")))
        await pilot.press(*["ctrl+n"] * 6)
        await until(pilot, lambda: bool(app.screen.query("#field-in_place")))
        flag = app.screen.query_one("#field-in_place", Checkbox)
        assert str(flag.render()).split() == ["▐X▌", "no"]
        flag.focus()
        await pilot.press("space")
        assert str(flag.render()).split() == ["▐X▌", "yes"]
        await until(pilot, lambda: flag.size.width >= len("▐X▌ yes "), "room for it")


@pytest.mark.parametrize("columns", [80, 100, 115, 120])
async def test_an_answer_has_room_beside_its_help(tmp_path, columns):
    app = CalmtuneApp(tmp_path / "sessions")
    async with app.run_test(size=(columns, 30)) as pilot:
        walk = await begin(app, pilot)
        await until(pilot, lambda: walk.query_one("#field-total_min", Input).size.width >= 24, "room for an answer")


@pytest.mark.parametrize(
    ("section", "field", "meaning"),
    [
        ("dataset", "history_turns", "all"),
        ("dataset", "budget_usd", "no limit"),
        ("dataset", "bring_in", "left empty"),
        ("training", "epochs", "as effort or preset says"),
        ("training", "gpus", "left empty"),
        ("deployment", "export_to", "nowhere"),
    ],
)
def test_an_empty_field_says_what_that_means(section, field, meaning):
    assert meaning_of_empty(next(question for question in questions(section) if question.field == field)) == meaning
