"""Stopping a training: what is asked, and what becomes of each answer; and bursts of what a step tells."""

from __future__ import annotations

import asyncio

import pytest

import tui.screens.walk
from core.wizard.events import Log, Metric
from core.wizard.jobs import KEEP
from tests.fake_recipe import install
from tests.pilot.test_app import begin, until
from tui.app import CalmtuneApp
from tui.screens.dialogs import StopDialog
from tui.widgets.log_view import LogView
from tui.widgets.loss_chart import LossChart
from tui.widgets.run_panel import RunPanel


@pytest.fixture
def training(monkeypatch):
    """A training that goes on for a minute or until it is cancelled; with KEEP it ends well. Holds the messages it was cancelled with."""
    install(monkeypatch)
    steps = __import__("core.wizard.session").wizard.session.step
    monkeypatch.setattr(tui.screens.walk, "step", steps)
    monkeypatch.setattr(tui.screens.walk, "TRAINING", "coverage")
    asked, run = [], type(steps("coverage")).run

    async def long_run(self, context):
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError as error:
            asked.append(error.args[0])
            if error.args != (KEEP,):
                raise
            asyncio.current_task().uncancel()
        return await run(self, context)

    monkeypatch.setattr(type(steps("coverage")), "run", long_run)
    return asked


async def test_training_is_stopped_or_ended_only_after_a_question(tmp_path, training):
    app = CalmtuneApp(tmp_path / "sessions")
    async with app.run_test(size=(80, 24)) as pilot:
        walk = await begin(app, pilot)
        await pilot.press("ctrl+r")
        await until(pilot, lambda: walk.at_work is not None and walk.at_work._cancel is not None, "the running step")
        for key, expected in (("escape", []), ("s", ["stop"])):
            await pilot.press("ctrl+x")
            await until(pilot, lambda: isinstance(app.screen, StopDialog), "the question")
            await pilot.press(key)
            await until(pilot, lambda: app.screen is walk, "the walk")
            await until(pilot, lambda expected=expected: training == expected, f"what {key} does")
        await until(pilot, lambda: walk.session.status("coverage").state == "interrupted", "the end of the step")
        assert "calmtune ended" not in walk.session.status("coverage").reason  # it was stopped, and calmtune is there
        await until(pilot, lambda: str(walk.query_one("#run").label) == "Resume", "the way to go on")


async def test_training_that_is_asked_to_keep_what_it_has_ends_well(tmp_path, training):
    app = CalmtuneApp(tmp_path / "sessions")
    async with app.run_test(size=(80, 24)) as pilot:
        walk = await begin(app, pilot)
        await pilot.press("ctrl+r")
        await until(pilot, lambda: walk.at_work is not None and walk.at_work._cancel is not None, "the running step")
        await pilot.press("ctrl+x")
        await until(pilot, lambda: isinstance(app.screen, StopDialog), "the question")
        await pilot.click("#keep")
        await until(pilot, lambda: walk.session.status("coverage").state == "fresh", "the finished step")
        assert training == [KEEP]


async def test_a_step_at_work_is_no_longer_told_to_be_stale(tmp_path, training):
    app = CalmtuneApp(tmp_path / "sessions")
    async with app.run_test(size=(80, 24)) as pilot:
        walk = await begin(app, pilot)
        at_work = "the running step"
        await pilot.press("ctrl+r")
        await until(pilot, lambda: walk.at_work is not None and walk.at_work._cancel is not None, at_work)
        walk.at_work.keep()
        await until(pilot, lambda: walk.at_work is None, "the finished step")
        walk.session.answer("coverage", {"amount": 5})
        await walk._show()
        reason = walk.query_one("#reason")
        assert reason.display
        assert "stale: amount 1 → 5" in str(reason.render())
        await pilot.press("ctrl+r")
        await until(pilot, lambda: walk.at_work is not None and walk.at_work._cancel is not None, at_work)
        await until(pilot, lambda: walk.query(RunPanel), "its panel")
        assert not reason.display
        await pilot.press("ctrl+x", "s")
        await until(pilot, lambda: walk.at_work is None, "the end")


async def test_a_burst_is_taken_over_look_by_look_and_loses_nothing(tmp_path, training, monkeypatch):
    monkeypatch.setattr(tui.screens.walk, "SECONDS_OF_A_LOOK", 0.0)
    app = CalmtuneApp(tmp_path / "sessions")
    async with app.run_test(size=(80, 24)) as pilot:
        walk = await begin(app, pilot)
        await pilot.press("ctrl+r")
        await until(pilot, lambda: walk.at_work is not None and walk.at_work._cancel is not None, "the running step")
        await until(pilot, lambda: walk.query(RunPanel), "its panel")
        await until(pilot, lambda: walk.query(LogView), "its log")
        walk.at_work._events.extend(event for n in range(2500) for event in (Metric(n, {"loss": 1 / (n + 1)}), Log(f"line {n}")))
        walk._show_events()
        assert 0 < len(walk.at_work._events) < 5000
        await until(pilot, lambda: not walk.at_work._events, "all events")
        assert len(walk.query_one(LossChart).training.steps) == 2500
        assert len(walk.query_one(LogView).lines) >= 2500
        await pilot.press("ctrl+x", "s")
        await until(pilot, lambda: walk.at_work is None, "the end")
