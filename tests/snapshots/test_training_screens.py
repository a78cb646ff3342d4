"""The training part of the wizard as pictures: the chart read, zoomed, on a log scale and without colour or braille, the log, a replay."""

from __future__ import annotations

import math
import os
from pathlib import Path

import pytest
from textual.app import App, ComposeResult

from core.training.metrics import Curves
from core.wizard.events import Log, MachineCost, Metric, Progress
from tests.snapshots.steps import until
from tui.screens.dialogs import StopDialog
from tui.theme import DARK, LIGHT
from tui.widgets.log_panel import LogPanel
from tui.widgets.loss_chart import LossChart
from tui.widgets.replay import Replay
from tui.widgets.run_panel import RunPanel

STYLES = Path(__file__).resolve().parents[2] / "tui" / "narrow.tcss"


class Host(App[None]):
    CSS_PATH = STYLES
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (100, "-wide")]

    def __init__(self, widget) -> None:
        super().__init__()
        self._widget = widget

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return {"muted": "#888888", "faint": "#777777"}

    def compose(self) -> ComposeResult:
        yield self._widget()

    def on_mount(self) -> None:
        for theme in (DARK, LIGHT):
            self.register_theme(theme)
        self.theme = os.environ.get("CALMTUNE_THEME", DARK.name)


def points(count: int = 600):
    """A run that learns and then overfits, with some noise."""
    for step in range(1, count + 1):
        level = 2.8 * math.exp(-6 * step / count) + 0.3
        values = {"loss": level * (1 + 0.25 * math.sin(7.3 * step)), "tokens_per_second": 1700.0}
        yield step, values | ({"eval_loss": level + 0.1 + 0.3 * (step / count) ** 3} if step % (count // 12) == 0 else {})


def chart_steps(*keys):
    async def steps(pilot):
        chart = pilot.app.query_one(LossChart)
        for step, values in points():
            chart.add(step, values)
        chart.focus()
        await pilot.press(*keys)

    return steps


@pytest.mark.parametrize(
    "keys", [("left",) * 30, ("plus", "plus", "left"), ("y",)], ids=["with a cursor", "zoomed", "on a log scale"]
)
def test_the_chart(look, keys):
    assert look(Host(LossChart), chart_steps(*keys))


def test_the_chart_in_ascii(look, monkeypatch):
    monkeypatch.setenv("LC_ALL", "C")
    monkeypatch.setenv("NO_COLOR", "1")
    assert look(Host(LossChart), chart_steps("left", "left"))


def test_a_log_that_is_filtered_and_searched(look):
    async def steps(pilot):
        panel = pilot.app.query_one(LogPanel)
        panel.add(f"step {number}: [loss] {1 / (number + 1):.4f}" for number in range(10_000))
        panel.add(["warning: little is shared", "error: out of memory at step 10000"])
        panel.view.focus()
        await pilot.press("f", "9", "9")
        await until(pilot, lambda: 0 < panel.view.count < 1000)
        await pilot.press("enter", "slash", "o", "s", "s")
        await until(pilot, lambda: panel.view.search is not None and len(panel.view.search.text) == 3)
        await pilot.press("enter", "n", "n")

    assert look(Host(LogPanel), steps)


def test_a_replay(look):
    curves = Curves()
    for step, values in points():
        curves.add({"step": step, "values": values})

    async def steps(pilot):
        pilot.app.query_one(LossChart).focus()
        await pilot.press(*["comma"] * 8, "greater_than_sign")

    assert look(Host(lambda: Replay(curves, "overfitting: as planned")), steps)


def test_a_run_on_a_rented_machine(look):
    async def steps(pilot):
        panel = pilot.app.query_one(RunPanel)
        await pilot.pause()
        events = [Log(f"line {number}") for number in range(30)]
        events += [MachineCost(1.2, 1.99, 5.0), Progress(600, 900, "steps", 3000.0)]
        panel.show_events([*events, *(Metric(step, values) for step, values in points())])
        await until(pilot, lambda: panel.query_one("#diagnosis").display)

    assert look(Host(RunPanel), steps)


def test_what_stopping_does(look):
    async def steps(pilot):
        pilot.app.push_screen(StopDialog())

    assert look(Host(LossChart), steps)
