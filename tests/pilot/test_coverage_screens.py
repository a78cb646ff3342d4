"""From an uncovered step to a test, and a failing test as a difference, driven as a person would."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from textual.widgets import OptionList, Static, Tab

from core.demo import assistant_folder
from core.e2e.reader import read_tests
from core.wizard.session import Session
from tests.pilot.test_app import until
from tui.app import CalmtuneApp
from tui.editor import editor_command
from tui.screens.conversation import ConversationScreen
from tui.screens.flow_tests import FlowScreen
from tui.screens.walk import WalkScreen

TESTS = """\
test_cases:
  - test_case: a boat [/x]
    steps:
      - user: I want to rent the rowing boat
      - utter: utter_ask_hours
  - test_case: a boat is rented at once
    steps:
      - user: I want to rent the rowing boat
      - utter: utter_ask_hours
      - utter: utter_boat_rented
"""


@pytest.fixture
def assistant(tmp_path) -> Path:
    """The sample assistant with two tests about boats, one of which cannot hold."""
    folder = Path(shutil.copytree(assistant_folder(), tmp_path / "assistant", ignore=shutil.ignore_patterns("e2e_tests", "__pycache__")))
    (folder / "e2e_tests").mkdir()
    (folder / "e2e_tests" / "boats.yml").write_text(TESTS)
    session = Session.create(tmp_path / "sessions", "one")
    session.answer("session", {"assistant": str(folder)})
    session.close()
    return folder


async def reviewed(app, pilot) -> WalkScreen:
    await until(pilot, lambda: isinstance(app.screen, WalkScreen) and bool(app.screen.query("#form *")), "the form")
    await pilot.press("ctrl+r")
    await until(pilot, lambda: bool(app.screen.query("#flows")), "the result")
    return app.screen


def drawn(screen, selector) -> str:
    return str(screen.query_one(selector, Static).render())


@pytest.mark.parametrize("columns", [80, 100, 115, 120])
async def test_the_yaml_of_a_flow_has_room_beside_the_flows(assistant, tmp_path, columns):
    app = CalmtuneApp(tmp_path / "sessions", "one")
    async with app.run_test(size=(columns, 36)) as pilot:
        walk = await reviewed(app, pilot)
        detail = walk.query(".beside .detail").first()
        await until(pilot, lambda: detail.size.width >= 32, "room for YAML")


@pytest.mark.parametrize("size", [(80, 24), (120, 36)])
async def test_from_a_step_that_no_test_reaches_to_a_test(assistant, tmp_path, size, monkeypatch):
    editor = tmp_path / "editor"
    editor.write_text(f'#!/bin/sh\nsed -i "s/<ask for .*>/I want a boat/" "$1"; echo "$1" > {tmp_path}/edited\n')
    editor.chmod(0o755)
    monkeypatch.setenv("VISUAL", str(editor))
    app = CalmtuneApp(tmp_path / "sessions", "one")
    async with app.run_test(size=size) as pilot:
        walk = await reviewed(app, pilot)
        flows = walk.query_one("#flows", OptionList)
        await until(pilot, lambda: app.focused is flows, "the keys on the flows")
        names = [str(flows.get_option_at_index(at).prompt).split()[0] for at in range(flows.option_count)]
        await pilot.press(*["down"] * names.index("rent_boat"), "enter")
        await until(pilot, lambda: isinstance(app.screen, FlowScreen), "the flow")
        screen = app.screen
        await until(pilot, lambda: "gets to" in drawn(screen, "#test"), "a test")
        assert "all" in str(screen.query_one("#steps", OptionList).get_option_at_index(0).prompt)
        await pilot.press("w")
        await until(pilot, lambda: "written to" in drawn(screen, "#told"), "the file")
        (written,) = (assistant / "e2e_tests").glob("reach_*.yml")
        assert {"rent_boat gets to utter_boat_rented"} <= {case.name for case in read_tests(written, assistant).cases}
        await pilot.press("w", "e")  # no second file, and the one that is there in the editor, where the screen can be handed over
        await pilot.pause()
        assert len(list((assistant / "e2e_tests").glob("reach_*.yml"))) == 1
        await pilot.press("down")
        await until(pilot, lambda: drawn(screen, "#test").count("test_case") == 2, "the test of one step")
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is walk, "the way back")


async def test_a_failing_test_is_a_difference(assistant, tmp_path):
    app = CalmtuneApp(tmp_path / "sessions", "one")
    async with app.run_test(size=(120, 36)) as pilot:
        walk = await reviewed(app, pilot)
        await until(pilot, lambda: app.focused is walk.query_one("#flows"), "the keys on the flows")
        assert "Tests 1 not passed" in {str(tab.label) for tab in walk.query(Tab)}  # failed or undecided: told apart in the line above
        await pilot.press("shift+tab", "right", "right", "tab", "home", "enter")
        await until(pilot, lambda: isinstance(app.screen, ConversationScreen), "the conversation")
        await until(pilot, lambda: "▶" in drawn(app.screen, "#sides Static"), "the difference")
        shown = drawn(app.screen, "#sides Static")
        assert "▶ utter: utter_boat_rented" in shown
        same = next(line for line in shown.splitlines() if "utter: utter_ask_hours" in line)
        assert "utter_ask_hours: " in same.partition("│")[2]
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is walk, "the way back")


def test_editors_are_told_the_line_where_they_take_one():
    path = Path("a test.yml")
    assert editor_command(path, 7, {"EDITOR": "vim -u NONE"}) == ["vim", "-u", "NONE", "+7", "a test.yml"]
    assert editor_command(path, 7, {"EDITOR": "code --wait"}) == ["code", "--wait", "a test.yml"]
    assert editor_command(path, 1, {"VISUAL": "nano", "EDITOR": "vi"}) == ["nano", "a test.yml"]
    assert editor_command(path, 7, {"EDITOR": "'unclosed"}) is None
