"""The frame of the app: walked by keys alone and by mouse alone, its command, its keys, its themes, its first run."""

from __future__ import annotations

import json
import shlex

import pytest
from textual import events
from textual.widgets import Button, Input, OptionList, Static

import core.wizard.session
import tui.screens.walk
from core.wizard.recipe import STEP_IDS
from core.wizard.session import Session
from tests.fake_recipe import install
from tests.pilot.test_app import PARCELS, until
from tui.app import CalmtuneApp
from tui.keymap import read_keymap, write_template
from tui.palette import KeyCommands
from tui.results.panel import ResultPanel
from tui.screens.dialogs import ChangeDialog, ErrorDialog, HelpDialog
from tui.screens.sessions import SessionsScreen
from tui.screens.tour import TourScreen
from tui.screens.walk import WalkScreen
from tui.widgets.command_bar import CommandBar
from tui.widgets.error_card import ErrorCard


@pytest.fixture
def fake(monkeypatch):
    install(monkeypatch)
    monkeypatch.setattr(tui.screens.walk, "step", core.wizard.session.step)
    return monkeypatch


@pytest.fixture
def one(tmp_path, fake):
    """The folder of sessions with one in it, of steps that do next to nothing."""
    session = Session.create(tmp_path / "sessions", "one")
    session.answer("session", {"assistant": str(PARCELS)})
    session.close()
    return tmp_path / "sessions"


async def walk_of(app, pilot) -> WalkScreen:
    await until(pilot, lambda: isinstance(app.screen, WalkScreen) and bool(app.screen.query("#form #help")), "the walk")
    await pilot.pause()
    return app.screen


async def two_fields(app, pilot) -> list[Input]:
    """Empty, the first with the focus."""
    fields = list((await walk_of(app, pilot)).query("#form Input").results(Input))[:2]
    fields[0].focus()
    for field in fields:
        field.value = ""
    await pilot.pause()
    return fields


def shown(walk, step: str) -> bool:
    return walk.view == step and bool(walk.query(ResultPanel)) and walk.session.status(step).state == "fresh"


async def test_the_whole_walk_by_keys_alone(tmp_path, fake):
    fake.chdir(PARCELS.parent)
    app = CalmtuneApp(tmp_path / "sessions")
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: isinstance(app.screen, SessionsScreen) and app.focused is not None, "the list of sessions")
        await pilot.press(*PARCELS.name, "enter")
        walk = await walk_of(app, pilot)
        await pilot.press("2")
        for step in STEP_IDS:
            await pilot.press("ctrl+r")
            await until(pilot, lambda step=step: shown(walk, step), step)
            if step != STEP_IDS[-1]:
                await pilot.press("ctrl+n")
                await until(pilot, lambda: bool(walk.query("#form #help")), "the next form")
        assert walk.session.model("coverage").amount == 2, "typed over what was selected"
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, SessionsScreen) and app.focused is not None, "the list again")


async def test_the_whole_walk_by_mouse_alone(one):
    app = CalmtuneApp(one, "one")
    async with app.run_test(size=(80, 24)) as pilot:
        walk = await walk_of(app, pilot)
        for step in STEP_IDS:
            await pilot.click("#run")
            await until(pilot, lambda step=step: shown(walk, step), step)
            if step != STEP_IDS[-1]:
                await until(pilot, lambda: walk.query_one("#next").display, "the way on")
                await pilot.pause()
                assert await pilot.click("#next")
                await until(pilot, lambda: bool(walk.query("#form #help")), "the next form")
        await pilot.click("#trail", offset=(1, 0))
        await until(pilot, lambda: shown(walk, "coverage"), "the first step, clicked")
        await pilot.resize_terminal(120, 36)
        await pilot.pause()
        await pilot.click("#stepper", offset=(4, 3))
        await until(pilot, lambda: shown(walk, "training"), "the third step, clicked")
        await pilot.click("#stepper", offset=(4, 1))
        await until(pilot, lambda: shown(walk, "coverage"), "the first step, clicked")
        await pilot.click(CommandBar)
        assert app.clipboard == "calmtune run --session one --until coverage"


async def test_the_command_says_what_is_typed_and_not_yet_saved_and_nothing_typed_is_lost(one):
    app = CalmtuneApp(one, "one")
    async with app.run_test(size=(120, 36)) as pilot:
        walk = await walk_of(app, pilot)
        walk.query_one("#field-note", Input).value = "it's [/x] 1e-4"
        await until(pilot, lambda: "note" in walk.query_one(CommandBar).command, "the command")
        await pilot.press("ctrl+n", "ctrl+b")
        await until(pilot, lambda: walk.view == "coverage" and bool(walk.query("#form #help")), "the way back")
        assert walk.query_one("#field-note", Input).value == "it's [/x] 1e-4"
        await pilot.press("ctrl+y")
        assert shlex.split(app.clipboard) == [
            "calmtune", "run", "--session", "one", "--set", "coverage.note=it's [/x] 1e-4", "--until", "coverage"
        ]  # fmt: skip
        assert "coverage" not in walk.session.answers


async def with_a_finished_step(app, pilot) -> WalkScreen:
    walk = await walk_of(app, pilot)
    await pilot.press("ctrl+r")
    await until(pilot, lambda: shown(walk, "coverage"), "a finished step")
    return walk


async def change(walk: WalkScreen, pilot) -> None:
    """Its answers, to be changed."""
    await pilot.press("ctrl+e")
    await until(pilot, lambda: bool(walk.query("#form #help")), "its form")


async def test_a_change_that_makes_steps_stale_is_asked_about_before_it_is_taken_over(one):
    app = CalmtuneApp(one, "one")
    async with app.run_test(size=(80, 24)) as pilot:
        walk = await with_a_finished_step(app, pilot)
        await change(walk, pilot)
        walk.query_one("#field-amount", Input).value = "7"
        for key, amount in (("escape", 1), ("r", 7)):
            await pilot.press("ctrl+r")
            await until(pilot, lambda: isinstance(app.screen, ChangeDialog) and bool(app.screen.query("#keep")), "the question")
            said = str(app.screen.query_one(Static).render())
            assert "amount 1 → 7" in said
            assert "$" not in said, "it cost nothing"
            await pilot.press(key)
            await until(pilot, lambda: app.screen is walk, "the walk")
            if amount == 7:
                await until(pilot, lambda: shown(walk, "coverage"), "the new outcome")
            assert walk.session.model("coverage").amount == amount


async def test_escape_leads_from_changed_answers_to_the_result_then_to_the_sessions(one):
    app = CalmtuneApp(one, "one")
    async with app.run_test(size=(80, 24)) as pilot:
        walk = await with_a_finished_step(app, pilot)
        for back in (lambda: pilot.press("escape"), lambda: pilot.click("#result")):
            await change(walk, pilot)
            walk.query_one("#field-amount", Input).value = "7"
            await back()
            await until(pilot, lambda: shown(walk, "coverage"), "the result")
            assert app.screen is walk
            assert walk.session.model("coverage").amount == 1, "nothing is taken over"
        await change(walk, pilot)
        assert walk.query_one("#field-amount", Input).value == "7", "what was typed is kept"
        await pilot.press("escape", "escape")
        await until(pilot, lambda: isinstance(app.screen, SessionsScreen), "the list of sessions")


async def test_keys_typed_before_the_first_screen_is_there_are_not_lost(one):
    app = CalmtuneApp(one, "one")
    async with app.run_test(size=(80, 24)) as pilot:
        app.post_message(events.Key("ctrl+r", None))
        await until(pilot, lambda: isinstance(app.screen, WalkScreen), "the walk")
        walk = app.screen
        await until(pilot, lambda: shown(walk, "coverage"), "the step run by a key that came early")


async def test_what_was_typed_is_there_again_after_the_app_was_left(one):
    app = CalmtuneApp(one, "one")
    async with app.run_test(size=(80, 24)) as pilot:
        walk = await walk_of(app, pilot)
        walk.query_one("#field-amount", Input).value = "7"
        await until(pilot, lambda: "amount=7" in walk.query_one(CommandBar).command, "the command with it")
        await pilot.press("ctrl+q")
    app = CalmtuneApp(one, "one")
    async with app.run_test(size=(80, 24)) as pilot:
        walk = await walk_of(app, pilot)
        assert walk.query_one("#field-amount", Input).value == "7"
        assert "amount=7" in walk.query_one(CommandBar).command
        await pilot.press("ctrl+r")
        await until(pilot, lambda: shown(walk, "coverage"), "the step run with it")
        assert walk.session.model("coverage").amount == 7
        assert not (walk.session.folder / "drafts.json").exists()


async def test_no_key_overtakes_another_however_fast_they_come(one):
    """As when they are typed ahead, or a slow line bunches them."""
    app = CalmtuneApp(one, "one")
    async with app.run_test(size=(80, 24)) as pilot:
        first, second = await two_fields(app, pilot)
        for key in ("7", "7", "backspace", "8", "tab", "4", "end", "0", "home", "3", "shift+tab", "end", "left", "1"):
            app.post_message(events.Key(key, key if len(key) == 1 else None))
        await until(pilot, lambda: len(second.value) == 3 and len(first.value) == 3, "all that was typed")
        assert (first.value, second.value) == ("718", "340")


async def test_a_field_that_goes_with_its_key_holds_no_other_key_up(one):
    app = CalmtuneApp(one, "one")
    async with app.run_test(size=(80, 24)) as pilot:
        first, second = await two_fields(app, pilot)
        app.post_message(events.Key("7", "7"))
        first.remove()
        app.post_message(events.Key("8", "8"))
        await until(pilot, lambda: app.focused is not first, "the focus elsewhere")
        second.focus()
        app.post_message(events.Key("9", "9"))
        await until(pilot, lambda: second.value.endswith("9"), "the key behind it")


async def test_keys_of_ones_own_and_a_keymap_with_mistakes(one, own_state):
    (own_state / "keymap.yml").write_text("# mine\nrun: f5\nrunn: f6\nnext: nonsense+q\nback: [a]\n")
    app = CalmtuneApp(one, "one")
    told = []
    app.notify = lambda message, **_: told.append(message)
    async with app.run_test(size=(80, 24)) as pilot:
        walk = await walk_of(app, pilot)
        assert "keymap.yml:3: there is no action 'runn'; did you mean run?" in told[0]
        assert "keymap.yml:4: next: 'nonsense+q' is no key" in told[0]
        assert "keymap.yml:5: back" in told[0]
        await pilot.press("f5")
        await until(pilot, lambda: shown(walk, "coverage"), "the step run by the new key")
        await pilot.press("ctrl+n")
        await until(pilot, lambda: walk.view == "dataset", "a key that stayed")


@pytest.mark.parametrize("content", ["a: [", "- a", "\x00", "run: {}\n1: 2", "run: ''", "b" * 10_000, "run: ctrl+", "run: a+b"])
def test_a_wrong_keymap_is_a_list_of_problems_with_lines(tmp_path, content):
    path = tmp_path / "keymap.yml"
    path.write_text(content)
    keys, problems = read_keymap(path, CalmtuneApp(tmp_path).named_bindings)
    assert not keys
    assert all(str(problem).startswith("keymap.yml:") for problem in problems)
    assert problems


def test_the_template_of_a_keymap_names_every_action_and_changes_none(tmp_path):
    known = CalmtuneApp(tmp_path).named_bindings
    path = tmp_path / "calmtune" / "keymap.yml"
    assert write_template(path, known)
    assert not write_template(path, known), "what is there stays"
    assert read_keymap(path, known) == ({}, [])
    path.write_text("".join(line.removeprefix("# ").split(" #")[0] + "\n" for line in path.read_text().splitlines()[3:]))
    keys, problems = read_keymap(path, known)
    assert problems == []
    assert keys == {action: binding.key for action, binding in known.items()}


async def test_the_theme_is_remembered_and_those_of_the_terminal_need_colours(one, own_state, monkeypatch):
    app = CalmtuneApp(one, "one")
    async with app.run_test() as pilot:
        await walk_of(app, pilot)
        app.theme = "ansi-light"
        await until(pilot, lambda: json.loads((own_state / "app.json").read_text()).get("theme") == "ansi-light", "the note")
    app = CalmtuneApp(one, "one")
    async with app.run_test() as pilot:
        await walk_of(app, pilot)
        assert app.theme == "ansi-light"
    monkeypatch.setenv("NO_COLOR", "1")
    app = CalmtuneApp(one, "one")
    async with app.run_test() as pilot:
        await walk_of(app, pilot)
        assert app.theme == "calm-dark"
    monkeypatch.setenv("CALMTUNE_THEME", "no [/x] such")
    app = CalmtuneApp(one, "one")
    async with app.run_test() as pilot:
        await walk_of(app, pilot)
        assert app.theme == "calm-dark"


async def test_the_tour_is_shown_once(tmp_path, own_state, fake):
    (own_state / "app.json").unlink()
    app = CalmtuneApp(tmp_path / "sessions")
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: isinstance(app.screen, TourScreen), "the tour")
        await pilot.press("right", "left", "right")
        await pilot.click("#next")
        await pilot.press("right")
        await until(pilot, lambda: isinstance(app.screen, SessionsScreen) and app.focused is not None, "its end")
    app = CalmtuneApp(tmp_path / "sessions")
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: isinstance(app.screen, SessionsScreen) and app.focused is not None, "no tour")


async def test_before_the_first_step_and_behind_the_last_there_is_no_key(one):
    app = CalmtuneApp(one, "one")
    async with app.run_test(size=(80, 24)) as pilot:
        walk = await walk_of(app, pilot)
        for view, works in (("coverage", {"next"}), ("dataset", {"next", "back"}), ("connection", {"back"})):
            await walk._show(view)
            assert {active.binding.action for active in walk.active_bindings.values()} & {"next", "back"} == works


async def test_every_key_that_works_is_in_the_palette_and_explained_by_f1(one):
    app = CalmtuneApp(one, "one")
    async with app.run_test(size=(120, 36)) as pilot:
        walk = await walk_of(app, pilot)
        offered = {hit.text async for hit in KeyCommands(walk).discover()}
        system = {command.title for command in app.get_system_commands(walk)}
        works = [active.binding for active in walk.active_bindings.values() if active.enabled and active.binding.id]
        assert {"run", "next", "copy", "leave", "help", "quit"} <= {binding.id for binding in works}
        assert all(binding.description in offered | system for binding in works)
        await pilot.press("f1")
        await until(pilot, lambda: isinstance(app.screen, HelpDialog), "help")
        said = "\n".join(str(part.render()) for part in app.screen.query(Static))
        assert "Any number; a negative one fails the gate." in said, "the field that has the focus"
        assert all(binding.tooltip in said for binding in works if binding.tooltip)


async def test_a_terminal_of_20_by_5_and_back(one):
    app = CalmtuneApp(one, "one")
    async with app.run_test(size=(120, 36)) as pilot:
        walk = await walk_of(app, pilot)
        for keys in ((), ("f1",), ("escape", "ctrl+p"), ("escape", "ctrl+r"), ("escape",)):
            await pilot.press(*keys)
            await pilot.pause(0.2)
            for size in ((20, 5), (1, 1), (80, 24)):
                await pilot.resize_terminal(*size)
            assert not isinstance(app.screen, ErrorDialog)
            assert all(card.mishap is None for card in walk.query(ErrorCard))
        await until(pilot, lambda: isinstance(app.screen, SessionsScreen) and app.focused is not None, "the app alive")


async def test_the_demo_is_one_key_or_one_click_away(tmp_path):
    for press in (lambda pilot: pilot.press("ctrl+d"), lambda pilot: pilot.click("#demo")):
        app = CalmtuneApp(tmp_path / "sessions")
        async with app.run_test(size=(80, 24)) as pilot:
            await until(pilot, lambda app=app: isinstance(app.screen, SessionsScreen) and app.focused is not None, "the list of sessions")
            await press(pilot)
            await walk_of(app, pilot)
            assert app.screen.session.id == "demo"
            assert app.screen.query_one("#run", Button)
            app.screen.session.close()
        import shutil

        shutil.rmtree(tmp_path / "sessions")


async def test_a_list_without_sessions_says_what_to_do(tmp_path, fake):
    app = CalmtuneApp(tmp_path / "sessions")
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: isinstance(app.screen, SessionsScreen) and app.focused is not None, "the list of sessions")
        await until(pilot, lambda: not app.screen.query_one("#sessions", OptionList).display, "an empty list")
        await pilot.press("enter")
        await until(pilot, lambda: "Which folder?" in str(app.screen.query_one("#error").render()), "what to do")
