"""The review of prepared rows, driven as a person would drive it."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from rigs.prepared import Prepared
from textual.widgets import Button, Input, Label, OptionList, Select, Static, TextArea

from core.dataset.decisions import read_decisions
from core.wizard.session import Session
from tests.pilot.test_app import until
from tui.app import CalmtuneApp
from tui.results.dataset import DatasetResult
from tui.screens.dialogs import EditDialog, HelpDialog
from tui.screens.review import ReviewScreen
from tui.screens.walk import WalkScreen
from tui.widgets.long_list import LongList

SIZES = [(80, 24), (120, 40)]


@pytest.fixture
def prepared(write_assistant, tmp_path, monkeypatch):
    monkeypatch.setenv("CALMTUNE_HOME", str(tmp_path / "home"))
    return Prepared(write_assistant, tmp_path)


async def reviewing(app, pilot) -> ReviewScreen:
    """From the app's start to the rows."""
    await until(pilot, lambda: isinstance(app.screen, WalkScreen), "the walk")
    if app.screen.view != "dataset":
        await pilot.press("ctrl+b")
    await until(pilot, lambda: bool(app.screen.query(DatasetResult)), "the result")
    await pilot.press("v")
    await until(pilot, lambda: isinstance(app.screen, ReviewScreen) and app.screen.review is not None, "the rows")
    await pilot.pause()
    return app.screen


def text(screen, selector: str) -> str:
    return str(screen.query_one(selector, Static).render())


def messages(app) -> list[str]:
    return [notification.message for notification in app._notifications]


async def go_to(pilot, screen, wording: str) -> None:
    at = next(at for at, row in enumerate(screen.shown) if row.wording == wording)
    await pilot.press("home", *["down"] * at)
    assert screen.row.wording == wording


@pytest.mark.parametrize("size", SIZES)
async def test_a_row_is_shown_with_all_that_is_known_of_it(prepared, size):
    app = CalmtuneApp(prepared.home, "s")
    async with app.run_test(size=size) as pilot:
        screen = await reviewing(app, pilot)
        await go_to(pilot, screen, "all wet")
        shown = text(screen, "#row")
        for part in (
            "complaint", "all.yml", "turn 2", "variant 1", "USER: I want to complain", "AI: utter_ask_reason", "USER: all wet",
            "a wording of: it was wet", "set slot reason wet",
        ):  # fmt: skip
            assert part in shown
        assert any(f" · {side} · " in shown for side in ("train", "validation"))
        await pilot.press("p")
        assert text(screen, "#row-prompt").startswith("prompt\n")
        assert "USER: all wet" in text(screen, "#row-prompt")
        await pilot.pause()
        prompt = screen.query_one("#row-prompt")
        assert prompt.region.y >= screen.query_one("#detail").region.y
        await pilot.press("p")
        assert not prompt.display


async def test_each_key_decides_shows_and_writes_at_once(prepared):
    app = CalmtuneApp(prepared.home, "s")
    path = prepared.home / "s" / "decisions.yml"
    async with app.run_test(size=(120, 40)) as pilot:
        screen = await reviewing(app, pilot)
        await go_to(pilot, screen, "Friday hours")
        await pilot.press("r")
        assert [(one.wording, one.verdict) for one in read_decisions(path)] == [("Friday hours", "reject")]
        assert "✗ rejected by hand, not yet applied" in text(screen, "#row")
        assert "1 decision, not yet applied. Running again takes out 1 row" in text(screen, "#outlook")

        for _ in range(6):
            if screen.query_one("#view", Select).value != "rejected":
                await pilot.press("v")
        assert [row.number for row in screen.shown] == ["r1", "r2"]
        await go_to(pilot, screen, "are you open")
        assert "✗ loses the value Friday" in text(screen, "#row")
        await pilot.press("a")
        assert {one.verdict for one in read_decisions(path)} == {"reject", "accept"}
        assert "✓ accepted by hand" in text(screen, "#row")

        await pilot.press("e")
        await until(pilot, lambda: isinstance(app.screen, EditDialog), "the editor")
        app.screen.query_one(TextArea).text = "Friday hours"
        await pilot.press("enter")
        assert "row 3 has this wording already" in str(app.screen.query_one("#objection", Label).render())
        app.screen.query_one(TextArea).text = "open this Friday?"
        await pilot.press("enter")
        await until(pilot, lambda: app.screen is screen, "the rows again")
        assert read_decisions(path)[-1].text == "open this Friday?"
        assert "✎ edited by hand" in text(screen, "#row")
        assert "→   open this Friday?" in text(screen, "#row")

        await pilot.press("u")
        assert [one.verdict for one in read_decisions(path)] == ["reject"]
        await pilot.press("u")
        assert any("nothing was decided about row r1" in message for message in messages(app))


async def test_what_cannot_be_decided_is_a_sentence(prepared):
    app = CalmtuneApp(prepared.home, "s")
    async with app.run_test(size=(120, 40)) as pilot:
        screen = await reviewing(app, pilot)
        await go_to(pilot, screen, "are you open on Friday")
        await pilot.press("a", "e")
        await until(pilot, lambda: len(messages(app)) >= 2, "two sentences")
        assert any("row 1 is accepted already" in message for message in messages(app))
        assert any("edit it there" in message for message in messages(app))
        assert app.screen is screen
        assert not (prepared.home / "s" / "decisions.yml").exists()


async def test_cancelling_the_editor_changes_nothing(prepared):
    app = CalmtuneApp(prepared.home, "s")
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await reviewing(app, pilot)
        await go_to(pilot, screen, "all wet")
        for way in ("escape", "cancel"):
            await pilot.press("e")
            await until(pilot, lambda: isinstance(app.screen, EditDialog), "the editor")
            if way == "cancel":
                app.screen.query_one("#cancel", Button).focus()
                await pilot.press("enter")
            else:
                await pilot.press("escape")
            await until(pilot, lambda: app.screen is screen, "the rows again")
        assert not (prepared.home / "s" / "decisions.yml").exists()


async def test_rows_are_found_by_words_and_by_what_they_teach(prepared):
    app = CalmtuneApp(prepared.home, "s")
    async with app.run_test(size=(120, 40)) as pilot:
        screen = await reviewing(app, pilot)
        await pilot.press("slash")
        await pilot.press(*"WET")
        assert {row.wording for row in screen.shown} == {"it was wet", "all wet", "it came wet"}
        screen.query_one("#filter", Input).value = "complaint start"
        await pilot.pause()
        assert [row.wording for row in screen.shown] == ["I want to complain"]
        screen.query_one("#filter", Input).value = "no such thing"
        await pilot.pause()
        assert screen.shown == []
        assert text(screen, "#row") == ""
        await pilot.press("escape")
        await pilot.press("r", "a", "u", "e")
        assert screen.row is None
        screen.query_one("#filter", Input).value = ""
        await pilot.press("f")
        await pilot.press("down", "enter")
        about = str(screen.query_one("#about", Select).value)
        assert about == screen._filter.things()[0][0]
        assert screen.shown == [row for row in screen.review.rows if about in row.holds and row.reason is None]
        await pilot.press("escape")
        assert app.screen is screen


async def test_decided_rows_are_a_view_of_their_own_and_the_mouse_works(prepared):
    app = CalmtuneApp(prepared.home, "s")
    async with app.run_test(size=(120, 40)) as pilot:
        screen = await reviewing(app, pilot)
        await pilot.click("#rows", offset=(5, 2))
        assert screen.row.wording == "Friday hours"
        footer = next(key for key in screen.query("FooterKey") if key.action == "decide('reject')")
        await pilot.click(footer)
        await until(pilot, lambda: screen.review.pending == 1, "the decision")
        screen.query_one("#view", Select).value = "decided"
        await pilot.pause()
        assert [row.wording for row in screen.shown] == ["Friday hours"]


async def test_the_step_says_what_waits_and_runs_again_with_it(prepared):
    app = CalmtuneApp(prepared.home, "s")
    async with app.run_test(size=(120, 40)) as pilot:
        screen = await reviewing(app, pilot)
        await go_to(pilot, screen, "Friday hours")
        await pilot.press("r", "escape")
        await until(pilot, lambda: isinstance(app.screen, WalkScreen), "the step")
        walk = app.screen
        await until(pilot, lambda: walk.query("#decisions") and walk.query_one("#decisions").display, "what waits")
        assert "1 decision, not yet applied" in text(walk, "#decisions")
        stepper = walk.query_one("#stepper", OptionList)
        assert "stale" in str(stepper.get_option("dataset").prompt)
        assert walk.query_one("#run", Button).display
        await pilot.press("v")
        await until(pilot, lambda: isinstance(app.screen, ReviewScreen) and app.screen.review is not None, "the rows")
        await pilot.press("ctrl+r")
        await until(pilot, lambda: walk.session.status("dataset").state == "fresh", "the rows with the decision")
        await until(pilot, lambda: app.screen is walk and bool(walk.query(DatasetResult)), "the result")
        assert not walk.query_one("#decisions").display
        await pilot.press("v")
        await until(pilot, lambda: isinstance(app.screen, ReviewScreen) and app.screen.review is not None, "the rows")
        assert "Friday hours" not in {row.wording for row in app.screen.shown}


async def test_decisions_wait_for_the_next_time_the_app_is_opened(prepared):
    app = CalmtuneApp(prepared.home, "s")
    async with app.run_test(size=(120, 40)) as pilot:
        screen = await reviewing(app, pilot)
        await go_to(pilot, screen, "all wet")
        await pilot.press("r")
        await pilot.press("ctrl+q")
    app = CalmtuneApp(prepared.home, "s")
    async with app.run_test(size=(120, 40)) as pilot:
        screen = await reviewing(app, pilot)
        assert screen.review.pending == 1
        await go_to(pilot, screen, "all wet")
        await pilot.press("u", "escape")
        await until(pilot, lambda: isinstance(app.screen, WalkScreen), "the step")
        assert app.screen.session.status("dataset").state == "fresh"


async def test_a_session_open_elsewhere_can_be_looked_at(prepared):
    holder = Session.open(prepared.home / "s")
    journal = sqlite3.connect(holder.folder / "session.db")
    other = f"{holder.holder.rpartition(':')[0]}:{os.getppid()}"  # a process that lives
    with journal:
        journal.execute("UPDATE lease SET holder = ?", (other,))
    journal.close()
    app = CalmtuneApp(prepared.home, "s")
    async with app.run_test(size=(120, 40)) as pilot:
        screen = await reviewing(app, pilot)
        assert "can only be looked at here; nothing can be decided" in text(screen, "#outlook")
        await go_to(pilot, screen, "all wet")
        await pilot.press("r", "a", "e", "u", "ctrl+r")
        assert app.screen is screen
        assert screen.review.pending == 0
        assert not (prepared.home / "s" / "decisions.yml").exists()
        await pilot.press("p")
        assert text(screen, "#row-prompt").startswith("prompt\n")
    holder.journal.close()


async def test_the_palette_and_f1_name_every_key(prepared):
    app = CalmtuneApp(prepared.home, "s")
    async with app.run_test(size=(120, 40)) as pilot:
        screen = await reviewing(app, pilot)
        await go_to(pilot, screen, "all wet")
        await pilot.press("ctrl+p")
        await until(pilot, lambda: app.screen is not screen, "the palette")
        await pilot.press(*"reject")
        await until(pilot, lambda: bool(app.screen.query_one(OptionList).option_count), "its commands")
        await pilot.press("enter")
        await until(pilot, lambda: app.screen is screen and screen.review.pending == 1, "the decision")
        await pilot.press("f1")
        await until(pilot, lambda: isinstance(app.screen, HelpDialog), "help")
        said = "\n".join(str(part.render()) for part in app.screen.query(Static))
        for key in ("a  ", "r  ", "e  ", "u  ", "p  ", "/  ", "v  ", "f  ", "ctrl+r"):
            assert f"\n{key}" in f"\n{said}"


async def test_rows_that_are_gone_are_a_sentence(prepared):
    app = CalmtuneApp(prepared.home, "s")
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: isinstance(app.screen, WalkScreen), "the walk")
        await pilot.press("ctrl+b")
        await until(pilot, lambda: bool(app.screen.query(DatasetResult)), "the result")
        (rows,) = (prepared.home / "s" / "runs").glob("dataset-*/3_llm_finetune_data/*.jsonl")
        rows.unlink()
        await pilot.press("v")
        await until(pilot, lambda: any("no prepared rows" in message for message in messages(app)), "the reason")
        await until(pilot, lambda: isinstance(app.screen, WalkScreen), "the step")


async def test_a_prompt_that_is_gone_and_decisions_that_cannot_be_read_are_sentences(prepared):
    app = CalmtuneApp(prepared.home, "s")
    async with app.run_test(size=(120, 40)) as pilot:
        screen = await reviewing(app, pilot)
        await pilot.press("down", "r")
        (rows,) = (prepared.home / "s" / "runs").glob("dataset-*/3_llm_finetune_data/*.jsonl")
        kept = rows.rename(rows.with_name("kept"))
        await pilot.press("p")
        assert "it cannot be read: No such file" in text(screen, "#row-prompt")
        kept.rename(rows)
        (prepared.home / "s" / "decisions.yml").write_text("decisions: [{tset: x}]")
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, WalkScreen) and bool(app.screen.query("#form")), "the step")
        await pilot.press("ctrl+r")
        await until(pilot, lambda: any("decisions.yml:1" in message for message in messages(app)), "what is wrong")


_DECIDE_AND_DIE = """
import asyncio, os, sys
from pathlib import Path
from tests.pilot.test_review import go_to, reviewing
from tui.app import CalmtuneApp

async def main():
    app = CalmtuneApp(Path(sys.argv[1]), "s")
    async with app.run_test(size=(120, 40)) as pilot:
        screen = await reviewing(app, pilot)
        for wording in ("Friday hours", "all wet"):
            await go_to(pilot, screen, wording)
            await pilot.press("r")
        os.kill(os.getpid(), 9)

asyncio.run(main())
"""


def test_no_decision_is_lost_when_the_app_is_killed(prepared):
    root = Path(__file__).resolve().parents[2]
    environment = {**os.environ, "PYTHONPATH": f"{root}{os.pathsep}{root / 'tests'}"}
    command = [sys.executable, "-c", _DECIDE_AND_DIE, str(prepared.home)]
    died = subprocess.run(command, env=environment, cwd=root, capture_output=True, text=True, check=False, timeout=120)
    assert died.returncode == -9, died.stderr
    assert {one.wording for one in read_decisions(prepared.home / "s" / "decisions.yml")} == {"Friday hours", "all wet"}
    statuses = json.loads(prepared("status", "s", "--json").stdout)["steps"]
    assert next(step["state"] for step in statuses if step["step"] == "dataset") == "stale"
    prepared.prepare()
    shown = json.loads(prepared("dataset", "show", "s", "--json").stdout)
    assert not {"Friday hours", "all wet"} & {row["wording"] for row in shown}


async def test_a_list_of_any_length_draws_only_what_is_in_view():
    from textual.app import App
    from textual.content import Content

    asked: list[int] = []

    class Host(App[None]):
        def compose(self):
            yield LongList(id="rows")

    app = Host()
    async with app.run_test(size=(40, 10)) as pilot:
        rows = app.query_one(LongList)
        rows.focus()
        rows.show(1_000_000, lambda at: asked.append(at) or Content(f"row {at} [/x]"))
        await pilot.pause()
        await pilot.press("end")
        assert rows.highlighted == 999_999
        await pilot.press("up", "pageup", "k", "j", "pagedown", "home", "down")
        assert rows.highlighted == 1
        assert len(set(asked)) < 100
        rows.show(0, lambda at: Content(""))
        await pilot.pause()
        await pilot.press("down", "end", "enter")
        assert rows.highlighted is None
