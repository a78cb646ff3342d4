"""The review of rows and the result of an evaluation as pictures."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from rigs.judged import FULL, GATES, OLD, OLD_GATES, judged
from rigs.prepared import Prepared
from textual.widgets import Select, TextArea

from tests.pilot.test_review import go_to, reviewing
from tests.snapshots.steps import shows, until
from tui.app import CalmtuneApp
from tui.results.dataset import DatasetResult
from tui.results.evaluation import EvaluationResult
from tui.results.quality import quality
from tui.screens.dialogs import EditDialog

MORE_QUALITY = {
    "golden_tests": 12,
    "thin": {"command clarify": 1, "flow lost_parcel": 2},
    "leakage": {
        "nearest": 0.08,
        "median": 0.61,
        "pairs": [
            {"held_out": "a.yml::are you open on [Friday]", "train": "a.yml::open on Fridays", "distance": 0.08},
            {"held_out": "b.yml::where is my parcel", "train": "b.yml::has it come", "distance": 0.44},
        ],
    },
}


@pytest.fixture
def review(write_assistant, tmp_path, monkeypatch, look):
    """review(steps): compare after some steps on the rows of session `s`."""
    monkeypatch.setenv("CALMTUNE_HOME", str(tmp_path / "home"))
    prepared = Prepared(write_assistant, tmp_path)

    def compare(steps) -> bool:
        async def all_steps(pilot):
            await steps(pilot, await reviewing(pilot.app, pilot))

        return look(CalmtuneApp(prepared.home, "s"), all_steps)

    return compare


@pytest.fixture
def evaluation(small_steps, monkeypatch, look):
    """evaluation(summary, tab, keys): compare a tab of the result of an evaluation."""

    def compare(summary, tab, *keys, gates=GATES) -> bool:
        asyncio.run(judged(Path("sessions"), "parcels", summary, gates, monkeypatch)).close()

        async def steps(pilot):
            await until(pilot, lambda: shows(pilot, EvaluationResult))
            pilot.app.screen.query_one("TabbedContent Tabs").focus()
            await pilot.press(*["right"] * tab, *keys)

        return look(CalmtuneApp(Path("sessions"), "one"), steps)

    return compare


def test_rows(review):
    async def steps(pilot, screen):
        await go_to(pilot, screen, "all wet")
        await pilot.press("r")
        await go_to(pilot, screen, "Friday hours")
        await pilot.press("p")

    assert review(steps)


def test_decided_rows(review):
    async def steps(pilot, screen):
        await go_to(pilot, screen, "all wet")
        await pilot.press("e")
        await until(pilot, lambda: isinstance(pilot.app.screen, EditDialog))
        pilot.app.screen.query_one(TextArea).text = "soaking [/wet]"
        await pilot.press("enter")
        await until(pilot, lambda: pilot.app.screen is screen)
        await go_to(pilot, screen, "Friday hours")
        await pilot.press("r")
        screen.query_one("#view", Select).value = "rejected"
        await pilot.pause()
        await go_to(pilot, screen, "are you open")
        await pilot.press("a")
        screen.query_one("#view", Select).value = "decided"
        await pilot.pause()
        await go_to(pilot, screen, "all wet")

    assert review(steps)


def test_editing_a_row(review):
    async def steps(pilot, screen):
        await go_to(pilot, screen, "all wet")
        await pilot.press("e")
        await until(pilot, lambda: isinstance(pilot.app.screen, EditDialog))
        pilot.app.screen.query_one(TextArea).text = "it came wet"
        await pilot.press("enter")

    assert review(steps)


def test_rows_with_decisions_that_wait(review):
    async def steps(pilot, screen):
        await go_to(pilot, screen, "all wet")
        await pilot.press("r", "escape")
        await until(
            pilot, lambda: pilot.app.screen.query("#decisions") and pilot.app.screen.query_one("#decisions").display
        )

    assert review(steps)


def test_quality_of_rows(review):
    async def steps(pilot, screen):
        await pilot.press("escape")
        await until(pilot, lambda: bool(pilot.app.screen.query(DatasetResult)))
        summary = pilot.app.screen.query_one(DatasetResult).outputs.summary
        summary["split"].update(MORE_QUALITY)
        pilot.app.screen.query_one("#quality").update(quality(summary))

    assert review(steps)


@pytest.mark.parametrize("tab", [0, 1], ids=["failures", "compared"])
def test_an_evaluation(evaluation, tab):
    assert evaluation(FULL, tab)


@pytest.mark.parametrize("tab", [2, 3], ids=["figures", "flaky"])
def test_more_of_an_evaluation(evaluation, tab):
    assert evaluation(FULL, tab)


def test_an_evaluation_of_before(evaluation):
    assert evaluation(OLD, 0, gates=OLD_GATES)


def test_a_failed_conversation(evaluation):
    assert evaluation(FULL, 0, "tab", "home", "enter")
