"""Choosing a machine to rent in the app: the table, its order, what becomes of the choice."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from textual.widgets import DataTable, Input, Static

import core.wizard.quotes
from core.errors import UsageError
from core.training.planner import Plan
from core.wizard.answers import SESSION
from core.wizard.quotes import Quote
from core.wizard.session import Session
from core.wizard.shared import SharedAnswers
from provisioning.target import Offer
from tests.pilot.test_app import until
from tui.app import CalmtuneApp
from tui.screens.machines import MachinesScreen
from tui.screens.walk import WalkScreen

PARCELS = Path(__file__).resolve().parents[1] / "assistants" / "parcels"


def quote(name: str, gpu_type: str, usd: float, minutes: tuple[float, float], spot: bool = False, fits: bool = True) -> Quote:
    cost = (minutes[0] / 60 * usd, minutes[1] / 60 * usd)
    plan = Plan("model", 320, 60, 90_000, 30_000, 3.0, 300, True, machine=gpu_type, minutes=minutes, usd=cost, budget=80_000_000_000)
    reason = "12 cores, 85 GB memory" if fits else "your account is not ready: `sky check lambda` says what is missing"
    infra = name.partition(" ")[0].lower()
    return Quote(Offer(name, usd, reason, fits, spot, gpu_type, 1, 80.0, infra), plan)


QUOTES = [
    quote("GCP a2-ultragpu-1g", "A100-80GB", 5.03, (12, 22)), quote("GCP a2-highgpu-1g [/x]", "A100", 1.84, (13, 24), spot=True),
    quote("RunPod 1x_H100", "H100", 2.99, (4, 7)), quote("Lambda gpu_1x_a100", "A100", 1.29, (13, 24), fits=False),
]  # fmt: skip


@pytest.fixture
def opened(tmp_path, monkeypatch):
    def make(quoted):
        monkeypatch.setattr(core.wizard.quotes, "training_quotes", quoted)
        session = Session.create(tmp_path / "sessions", "one")
        session.answer("session", {"assistant": str(PARCELS)})
        session.close()
        return CalmtuneApp(tmp_path / "sessions", "one")

    return make


async def table_of(app, pilot) -> DataTable:
    await until(pilot, lambda: isinstance(app.screen, WalkScreen), "the walk")
    for _ in range(2):
        await pilot.press("ctrl+n")
    await pilot.press("ctrl+o")
    await until(pilot, lambda: isinstance(app.screen, MachinesScreen), "the machines")
    return app.screen.query_one(DataTable)


def names(table: DataTable) -> list[str]:
    return [str(table.get_row_at(row)[1]) for row in range(table.row_count)]


async def test_a_machine_is_chosen_and_becomes_the_answers(opened):
    asked = []
    app = opened(lambda session, place: asked.append(place) or QUOTES)
    async with app.run_test(size=(120, 36)) as pilot:
        table = await table_of(app, pilot)
        await until(pilot, lambda: table.row_count == 4, "the offers")
        assert asked == ["sky"]
        await pilot.press("3")
        assert names(table)[0].startswith("Lambda"), "the cheapest by the hour"
        await pilot.press("3")
        assert names(table)[0].startswith("GCP a2-ultragpu"), "and turned round"
        await pilot.press("4")
        assert names(table)[0].startswith("RunPod"), "the quickest"
        await pilot.press("3", "enter")
        assert isinstance(app.screen, MachinesScreen), "one that cannot be rented is not taken"
        await pilot.press("down")
        await pilot.pause()
        assert "30,000 unique" in str(app.screen.query_one("#why", Static).render())
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, WalkScreen), "the form")
        walk = app.screen
        await until(pilot, lambda: bool(walk.query("#field-machine")), "its fields")
        assert walk.query_one("#field-machine", Input).value == "sky:gcp"
        assert walk.session.answers["training"]["machine"] == "sky:gcp"
        shared = walk.session.model(SESSION)
        assert (shared.cloud_gpus, shared.cloud_spot) == ("A100", True)
        assert walk.session.targets["sky:gcp"].terms.spot


async def test_a_machine_of_any_cloud_leaves_the_place_as_it_is(opened):
    app = opened(lambda session, place: [Quote(Offer("any cloud", math.nan, "the cheapest machine with enough memory"))])
    async with app.run_test(size=(120, 36)) as pilot:
        table = await table_of(app, pilot)
        await until(pilot, lambda: table.row_count == 1, "the offer")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, WalkScreen), "the form")
        assert app.screen.session.answers["training"]["machine"] == "sky"
        assert app.screen.session.model(SESSION).cloud_gpus == SharedAnswers.model_fields["cloud_gpus"].default


async def test_without_skypilot_the_table_says_what_to_do(opened):
    def quoted(session, place):
        raise UsageError("SkyPilot cannot be used here; install it")

    app = opened(quoted)
    async with app.run_test(size=(80, 24)) as pilot:
        table = await table_of(app, pilot)
        await until(pilot, lambda: "install it" in str(app.screen.query_one("#why", Static).render()), "the reason")
        assert table.row_count == 0
        await pilot.press("enter", "escape")
        await until(pilot, lambda: isinstance(app.screen, WalkScreen), "back")
        assert "machine" not in app.screen.session.answers.get("training", {})
