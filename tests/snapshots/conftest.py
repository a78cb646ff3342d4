"""The looks every screen is taken in. `pytest tests/snapshots -m "slow or not slow" --snapshot-update` takes all pictures anew."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Protocol

import pytest
from textual.app import App
from textual.pilot import Pilot
from textual.widgets import Input, TextArea

import core.wizard.row_review
import core.wizard.session
import tui.screens.dialogs
import tui.screens.sessions
import tui.screens.walk
import tui.widgets.run_panel
from screenshots.make import LOOKS
from tests.fake_recipe import install

PARCELS = Path(__file__).resolve().parents[1] / "assistants" / "parcels"
QUICK = ("120x36-dark", "80x24-light")
"""What is compared each time; the others with the slow tests."""
EVERY_LOOK = [look if look in QUICK else pytest.param(look, marks=pytest.mark.slow) for look in LOOKS]


class Look(Protocol):
    def __call__(self, app: App[None], steps: Callable[[Pilot[None]], Awaitable[None]]) -> bool:
        """True when the app looks, after some steps, as its picture says."""


@pytest.fixture(params=EVERY_LOOK)
def look(request, snap_compare, tmp_path, monkeypatch) -> Look:
    """Compare in each look, in a folder of the test's own (with an assistant in `parcels`) where nothing depends on the day."""
    size, variables = LOOKS[request.param]
    for name, value in {"LC_ALL": "C.UTF-8", "TERM": "xterm-256color", **variables}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    Path("parcels").symlink_to(PARCELS)
    for kind in (Input, TextArea):
        monkeypatch.setattr(kind, "cursor_blink", False)
    for module in (core.wizard.row_review, tui.screens.dialogs, tui.screens.sessions, tui.widgets.run_panel):
        monkeypatch.setattr(module, "duration", lambda seconds: "a while")

    def compare(app, steps) -> bool:
        async def run(pilot) -> None:
            await steps(pilot)
            await pilot.pause(0.3)
            app.clear_notifications()

        return snap_compare(app, terminal_size=size, run_before=run)

    return compare


@pytest.fixture
def small_steps(monkeypatch) -> None:
    """Steps that do next to nothing take the place of the real ones."""
    install(monkeypatch)
    monkeypatch.setattr(tui.screens.walk, "step", core.wizard.session.step)
