"""A finished run, played again with keys."""

from __future__ import annotations

from contextlib import asynccontextmanager

from textual.app import App
from textual.widgets import Static

from core.training.metrics import Curves
from tests.pilot.test_app import until
from tui.widgets.loss_chart import LossChart
from tui.widgets.replay import Replay


@asynccontextmanager
async def replay_of(steps):
    curves = Curves()
    for step in range(1, steps + 1):
        values = {"loss": 3 / step**0.5, **({"eval_loss": 3.1 / step**0.5} if step % 10 == 0 else {})}
        curves.add({"step": step, "values": values})

    class Host(App[None]):
        def compose(self):
            yield Replay(curves, "converged: validation loss settled at 0.310")

    app = Host()
    async with app.run_test(size=(100, 24)) as pilot:
        replay = app.query_one(Replay)
        app.query_one(LossChart).focus()
        await pilot.pause()
        yield pilot, replay


def said(replay) -> str:
    return str(replay.query_one("#played", Static).render())


async def test_before_it_is_played_the_whole_run_and_its_diagnosis_are_shown():
    async with replay_of(100) as (_, replay):
        assert replay.query_one(LossChart).until is None
        assert "converged  validation loss settled" in said(replay)


async def test_playing_goes_on_by_itself_to_the_end_and_begins_anew():
    async with replay_of(100) as (pilot, replay):
        await pilot.press(*["greater_than_sign"] * 9)
        await pilot.press("space")
        assert "▶ step" in said(replay)
        assert "×8" in said(replay)
        await until(pilot, lambda: replay.step > 10, "that it is played")
        await pilot.press("space")
        at = replay.step
        await pilot.pause(0.3)
        assert replay.step == at, "paused"
        await pilot.press("space")
        await until(pilot, lambda: replay.at == 1, "the end")
        assert "‖ step 100 of 100" in said(replay)
        await pilot.press("space")
        assert replay.step < 100


async def test_a_click_below_the_chart_plays_too():
    async with replay_of(100) as (pilot, replay):
        await pilot.click("#played")
        assert "▶ step" in said(replay)
        await pilot.click("#played")
        assert "‖ step" in said(replay)


async def test_seeking_shows_the_curve_and_the_diagnosis_of_then():
    async with replay_of(100) as (pilot, replay):
        chart = replay.query_one(LossChart)
        await pilot.press(*["comma"] * 18)
        assert replay.step == chart.until == 11
        assert "learning  training loss fell from 1.732 to 1.000" in said(replay)
        drawn = "".join(segment.text for segment in chart.render_line(0))
        assert "train" in drawn
        await pilot.press("left")
        assert chart.cursor == 11, "nothing beyond what is played is read"
        await pilot.press("full_stop", "full_stop")
        assert 19 <= replay.step <= 22
        await pilot.press("escape", "escape")
        assert replay.at is None
        assert chart.until is None


async def test_a_run_without_a_point_is_played_as_nothing():
    async with replay_of(0) as (pilot, replay):
        await pilot.press("space", "comma", "full_stop")
        assert "step 0 of 0" in said(replay)
