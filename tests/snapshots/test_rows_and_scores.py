"""The review of rows and the result of an evaluation as pictures, in narrow and wide, dark and light terminals."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from rigs.judged import FULL, GATES, OLD, OLD_GATES, judged
from rigs.prepared import Prepared
from textual.widgets import Input, Select, TextArea

import core.wizard.row_review
from tests.fake_recipe import install
from tests.pilot.test_review import go_to, reviewing
from tests.snapshots.test_screens import until
from tui.app import CalmtuneApp
from tui.results.dataset import DatasetResult
from tui.results.evaluation import EvaluationResult
from tui.results.quality import quality
from tui.screens.dialogs import EditDialog

PARCELS = Path(__file__).resolve().parents[1] / "assistants" / "parcels"
TERMINALS = [
    pytest.param(size, theme, id=f"{name}-{theme.rpartition('-')[2]}")
    for name, size in (("wide", (120, 40)), ("narrow", (80, 24)))
    for theme in ("calm-dark", "calm-light")
]
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


@pytest.fixture(autouse=True)
def still(monkeypatch):
    """Nothing depends on the day, and no cursor blinks."""
    monkeypatch.setattr(core.wizard.row_review, "duration", lambda seconds: "a while")
    for kind in (Input, TextArea):
        monkeypatch.setattr(kind, "cursor_blink", False)


@pytest.fixture
def review(write_assistant, tmp_path, monkeypatch, snap_compare):
    """review(steps, size, theme): compare after some steps on the rows of session `s`."""
    monkeypatch.setenv("CALMTUNE_HOME", str(tmp_path / "home"))
    prepared = Prepared(write_assistant, tmp_path)

    def compare(steps, size, theme) -> bool:
        monkeypatch.setenv("CALMTUNE_THEME", theme)

        async def all_steps(pilot):
            await steps(pilot, await reviewing(pilot.app, pilot))
            pilot.app.clear_notifications()
            await pilot.pause(0.3)

        return snap_compare(CalmtuneApp(prepared.home, "s"), terminal_size=size, run_before=all_steps)

    return compare


@pytest.fixture
def evaluation(tmp_path, monkeypatch, snap_compare):
    """evaluation(summary, tab, size, theme, keys): compare a tab of the result of an evaluation."""
    import core.wizard.session
    import tui.screens.walk

    install(monkeypatch)
    monkeypatch.setattr(tui.screens.walk, "step", core.wizard.session.step)
    monkeypatch.chdir(tmp_path)
    Path("parcels").symlink_to(PARCELS)

    def compare(summary, tab, size, theme, *keys, gates=GATES) -> bool:
        monkeypatch.setenv("CALMTUNE_THEME", theme)
        asyncio.run(judged(Path("sessions"), "parcels", summary, gates, monkeypatch)).close()

        async def steps(pilot):
            await until(pilot, lambda: bool(pilot.app.screen.query(EvaluationResult)))
            pilot.app.screen.query_one("TabbedContent Tabs").focus()
            await pilot.press(*["right"] * tab, *keys)
            await pilot.pause(0.3)

        return snap_compare(CalmtuneApp(Path("sessions"), "one"), terminal_size=size, run_before=steps)

    return compare


@pytest.mark.parametrize(("size", "theme"), TERMINALS)
def test_rows(review, size, theme):
    async def steps(pilot, screen):
        await go_to(pilot, screen, "all wet")
        await pilot.press("r")
        await go_to(pilot, screen, "Friday hours")
        await pilot.press("p")

    assert review(steps, size, theme)


@pytest.mark.parametrize(("size", "theme"), TERMINALS)
def test_decided_rows(review, size, theme):
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

    assert review(steps, size, theme)


@pytest.mark.parametrize(("size", "theme"), TERMINALS)
def test_editing_a_row(review, size, theme):
    async def steps(pilot, screen):
        await go_to(pilot, screen, "all wet")
        await pilot.press("e")
        await until(pilot, lambda: isinstance(pilot.app.screen, EditDialog))
        pilot.app.screen.query_one(TextArea).text = "it came wet"
        await pilot.press("enter")

    assert review(steps, size, theme)


@pytest.mark.parametrize(("size", "theme"), TERMINALS)
def test_rows_with_decisions_that_wait(review, size, theme):
    async def steps(pilot, screen):
        await go_to(pilot, screen, "all wet")
        await pilot.press("r", "escape")
        await until(
            pilot, lambda: pilot.app.screen.query("#decisions") and pilot.app.screen.query_one("#decisions").display
        )

    assert review(steps, size, theme)


@pytest.mark.parametrize(("size", "theme"), TERMINALS)
def test_quality_of_rows(review, size, theme):
    async def steps(pilot, screen):
        await pilot.press("escape")
        await until(pilot, lambda: bool(pilot.app.screen.query(DatasetResult)))
        summary = pilot.app.screen.query_one(DatasetResult).outputs.summary
        summary["split"].update(MORE_QUALITY)
        pilot.app.screen.query_one("#quality").update(quality(summary))

    assert review(steps, size, theme)


@pytest.mark.parametrize("tab", [0, 1], ids=["failures", "compared"])
@pytest.mark.parametrize(("size", "theme"), TERMINALS)
def test_an_evaluation(evaluation, size, theme, tab):
    assert evaluation(FULL, tab, size, theme)


@pytest.mark.parametrize("tab", [2, 3], ids=["figures", "flaky"])
@pytest.mark.parametrize(("size", "theme"), TERMINALS[1:3])
def test_more_of_an_evaluation(evaluation, size, theme, tab):
    assert evaluation(FULL, tab, size, theme)


@pytest.mark.parametrize(("size", "theme"), TERMINALS)
def test_an_evaluation_of_before(evaluation, size, theme):
    assert evaluation(OLD, 0, size, theme, gates=OLD_GATES)


@pytest.mark.parametrize(("size", "theme"), TERMINALS[1:3])
def test_a_failed_conversation(evaluation, size, theme):
    assert evaluation(FULL, 0, size, theme, "tab", "home", "enter")
