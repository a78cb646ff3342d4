"""The loss chart, read and zoomed with keys and mouse."""

from __future__ import annotations

from contextlib import asynccontextmanager

import pytest
from textual import events
from textual.app import App
from textual.geometry import Offset

from tui.widgets.loss_chart import LossChart


class Host(App[None]):
    BINDINGS = [("escape", "left", "Leave")]

    def __init__(self, ascii_only: bool | None = None) -> None:
        super().__init__()
        self._ascii_only, self.was_left = ascii_only, False

    def compose(self):
        yield LossChart(ascii_only=self._ascii_only)

    def action_left(self) -> None:
        self.was_left = True


@asynccontextmanager
async def chart_of(steps, every=100, size=(80, 20), ascii_only=False):
    app = Host(ascii_only)
    async with app.run_test(size=size) as pilot:
        chart = app.query_one(LossChart)
        for step in range(1, steps + 1):
            chart.add(step, {"loss": 3 / step**0.5, **({"eval_loss": 3.2 / step**0.5} if step % every == 0 else {})})
        chart.focus()
        await pilot.pause()
        yield pilot, chart


def text(chart) -> str:
    return "\n".join("".join(segment.text for segment in chart.render_line(y)) for y in range(chart.size.height))


async def test_arrows_read_the_points_and_escape_ends_that_before_it_leaves():
    async with chart_of(1000) as (pilot, chart):
        assert "validation 0.101 (best 0.101 at 1,000)" in text(chart)
        await pilot.press("left")
        assert "step 1,000  ·· loss 0.095" in text(chart)
        await pilot.press("left")
        assert chart.cursor < 1000
        assert f"step {chart.cursor:,}" in text(chart)
        assert "validation 0.101 at 1,000" in text(chart)
        await pilot.press("home", "right")
        assert 1 < chart.cursor < 20
        await pilot.press("escape")
        assert chart.cursor is None
        assert not pilot.app.was_left
        await pilot.press("escape")
        assert pilot.app.was_left


async def test_arrows_do_not_miss_a_point_where_there_are_few():
    async with chart_of(5, every=2) as (pilot, chart):
        read = []
        for _ in range(6):
            await pilot.press("left")
            read.append(chart.cursor)
        assert read == [5, 4, 3, 2, 1, 1]


async def test_the_pointer_reads_what_it_is_over_until_it_leaves():
    async with chart_of(1000) as (pilot, chart):
        await pilot.hover(LossChart, Offset(9, 5))
        assert chart.cursor == 1
        await pilot.hover(LossChart, Offset(44, 5))
        assert 450 < chart.cursor < 550
        await pilot.hover(LossChart, Offset(3, 5))
        assert 450 < chart.cursor < 550, "beside the curves nothing is read"
        chart.post_message(events.Leave(chart))
        await pilot.pause()
        assert chart.cursor is None


async def test_zooming_with_keys_goes_to_the_end_or_to_the_cursor_and_back_to_the_whole():
    async with chart_of(1000) as (pilot, chart):
        await pilot.press("plus", "plus")
        assert chart.window == (750, 1000)
        assert "steps 750 to 1,000" in chart.border_title
        await pilot.press("shift+left")
        assert chart.window == (688, 938)
        await pilot.press(*["shift+left"] * 20)
        assert chart.window[0] == 1
        await pilot.press("minus", "minus", "minus")
        assert chart.window == chart.whole
        await pilot.press("home", "plus")
        assert chart.window[0] == 1
        await pilot.press("0")
        assert chart.window == chart.whole
        assert chart.border_title == "loss"
        await pilot.press(*["plus"] * 30)
        assert chart.window[1] - chart.window[0] >= 4
        await pilot.press("end", *["right"] * 3, *["left"] * 9)
        assert chart.window[0] <= chart.cursor <= chart.window[1], "the part in view follows the cursor"


async def test_the_wheel_zooms_where_the_pointer_is():
    async with chart_of(1000) as (pilot, chart):
        under = 8 + 1 + 34
        for _ in range(5):
            await pilot._post_mouse_events([events.MouseScrollUp], LossChart, Offset(under, 5))
        first, last = chart.window
        assert 300 < last - first < 400
        await pilot.hover(LossChart, Offset(under, 5))
        assert 450 < chart.cursor < 550
        for _ in range(8):
            await pilot._post_mouse_events([events.MouseScrollDown], LossChart, Offset(under, 5))
        assert chart.window == chart.whole


async def test_a_part_that_shows_the_end_goes_on_showing_it():
    async with chart_of(1000) as (pilot, chart):
        await pilot.press("plus")
        chart.add(1010, {"loss": 0.1})
        assert chart.window == (510, 1010)
        await pilot.press("shift+left")
        before = chart.window
        chart.add(1020, {"loss": 0.1})
        assert chart.window == before


async def test_what_was_heard_before_or_is_no_number_is_left_out():
    async with chart_of(10) as (_, chart):
        for step, loss in ((4, 9.0), (11, float("nan")), (12, float("inf"))):
            chart.add(step, {"loss": loss})
        assert chart.training.steps == list(range(1, 11))
        assert max(chart.training.values) == 3.0


async def test_nothing_but_ascii_where_the_locale_is_not_utf8(monkeypatch):
    monkeypatch.setenv("LC_ALL", "C")
    async with chart_of(300, ascii_only=None) as (pilot, chart):
        await pilot.press("left")
        assert text(chart).isascii()
        assert "*" in text(chart)
        assert str(chart.border_title).isascii()
        assert str(chart.border_subtitle).isascii()


@pytest.mark.parametrize("size", [(10, 4), (20, 8), (200, 60)])
@pytest.mark.parametrize("steps", [1, 2, 400])
async def test_any_size_is_drawn(size, steps):
    async with chart_of(steps, every=3, size=size) as (pilot, chart):
        await pilot.press("y", "left", "plus")
        assert all(chart.render_line(y).cell_length == chart.size.width for y in range(chart.size.height))


async def test_changing_how_much_is_averaged_says_so():
    async with chart_of(100) as (pilot, chart):
        await pilot.press("s", "s")
        assert chart.smoothing == 0.0
        assert chart.average.values == pytest.approx(chart.training.values)
        assert "smoothing 0" in chart.border_title
