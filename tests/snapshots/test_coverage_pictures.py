"""Tests to write and failing tests as pictures."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from textual.widgets import OptionList, Static

from core.demo import assistant_folder
from tests.pilot.test_coverage_screens import TESTS, reviewed
from tests.snapshots.steps import opened, until
from tui.results.thin import thin
from tui.screens.conversation import ConversationScreen
from tui.screens.flow_tests import FlowScreen


@pytest.fixture
def review(look):
    """review(steps): compare after some steps on the coverage review of an assistant with few tests."""

    def compare(steps) -> bool:
        shutil.copytree(assistant_folder(), "assistant", ignore=shutil.ignore_patterns("e2e_tests", "__pycache__"))
        Path("assistant/e2e_tests").mkdir()
        Path("assistant/e2e_tests/boats.yml").write_text(TESTS)

        async def all_steps(pilot):
            walk = await reviewed(pilot.app, pilot)
            await until(pilot, lambda: pilot.app.focused is walk.query_one("#flows"))
            await steps(pilot, walk)

        return look(opened(assistant="assistant"), all_steps)

    return compare


def test_a_test_to_write(review):
    async def steps(pilot, walk):
        flows = walk.query_one("#flows", OptionList)
        names = [str(flows.get_option_at_index(at).prompt).split()[0] for at in range(flows.option_count)]
        await pilot.press(*["down"] * names.index("rent_boat"), "enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, FlowScreen))
        await until(pilot, lambda: "gets to" in str(pilot.app.screen.query_one("#test", Static).render()))
        await pilot.press("down", "down")
        await until(pilot, lambda: str(pilot.app.screen.query_one("#test", Static).render()).count("test_case") == 2)

    assert review(steps)


def test_a_failing_test(review):
    async def steps(pilot, walk):
        await pilot.press("shift+tab", "right", "right", "tab", "home", "enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, ConversationScreen))

    assert review(steps)


def test_what_is_thin(review):
    split = {
        "thin": {"command clarify": 1, "flow lost [/x] item": 1, "flow ring_foghorn": 2, "slot place": 2},
        "flows": {"train": {"ring_foghorn": 31}},
        "command_types": {"train": {"clarify": 12}},
        "slots": {"train": {"place": 1204}},
    }

    async def steps(pilot, walk):
        await pilot.press("shift+tab", "right")
        walk.query_one("#commands", Static).update(thin(split))

    assert review(steps)
