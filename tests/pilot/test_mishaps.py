"""What goes wrong under the app: it lives on, says what happened and what to try."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import textwrap
from contextlib import contextmanager
from pathlib import Path

import pytest
from textual.widgets import Input, OptionList

from core.errors import UsageError
from core.wizard.session import Session
from tests.pilot.test_app import until
from tests.pilot.test_shell import fake, one, shown, walk_of  # noqa: F401
from tui.app import CalmtuneApp
from tui.screens.sessions import SessionsScreen
from tui.screens.walk import WalkScreen
from tui.widgets.error_card import ErrorCard

ROOT = Path(__file__).resolve().parents[2]


@contextmanager
def second_process(program: str, *arguments: str):
    """Another process at work; it says "ready" and is ended with the block."""
    command = [sys.executable, "-c", textwrap.dedent(program), *arguments]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        try:
            yield
        finally:
            process.stdin.close()
            process.wait()


async def test_a_step_that_breaks_is_a_card_with_a_log_and_can_be_run_again(one, fake):  # noqa: F811
    import core.wizard.session

    kind = type(core.wizard.session.step("coverage"))
    real = kind.run

    async def broken(self, context):
        raise ZeroDivisionError("[/x] \x1b[2J\u202e 😀 " + "x" * 10_000)

    fake.setattr(kind, "run", broken)
    app = CalmtuneApp(one, "one")
    async with app.run_test(size=(80, 24)) as pilot:
        walk = await walk_of(app, pilot)
        await pilot.press("ctrl+r")
        await until(pilot, lambda: walk.query_one(ErrorCard).mishap is not None, "the card")
        mishap = walk.query_one(ErrorCard).mishap
        assert "ZeroDivisionError" in mishap.what
        assert "broken" in Path(mishap.log).read_text(), "where it came from"
        await until(pilot, lambda: app.focused is walk.query_one(ErrorCard), "the card in focus")
        await pilot.press("c")
        assert app.clipboard == mishap.text
        assert "calmtune resume one --until coverage" in app.clipboard
        fake.setattr(kind, "run", real)
        await pilot.press("ctrl+r")
        await until(pilot, lambda: shown(walk, "coverage"), "the second try")
        assert walk.query_one(ErrorCard).mishap is None


async def test_a_worker_of_the_screen_that_raises_is_a_card(one, monkeypatch):  # noqa: F811
    import tui.widgets.outlook

    monkeypatch.setattr(tui.widgets.outlook, "spending", lambda *_: 1 / 0)
    app = CalmtuneApp(one, "one")
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: isinstance(app.screen, WalkScreen), "the walk")
        walk = app.screen
        await until(pilot, lambda: walk.query_one(ErrorCard).mishap is not None, "the card")
        assert "ZeroDivisionError" in walk.query_one(ErrorCard).mishap.what
        await pilot.press("ctrl+n")
        await until(pilot, lambda: walk.view == "dataset", "the app alive")


async def test_a_full_disk_is_said_and_what_was_typed_is_kept(one):  # noqa: F811
    app = CalmtuneApp(one, "one")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    async with app.run_test(size=(80, 24)) as pilot:
        walk = await walk_of(app, pilot)
        walk.query_one("#field-amount", Input).value = "4"
        await pilot.pause()
        resource.setrlimit(resource.RLIMIT_FSIZE, (1, before[1]))
        try:
            await pilot.press("ctrl+r")
            said = lambda: str(walk.query_one("#form-error").render()) + getattr(walk.query_one(ErrorCard).mishap, "what", "")  # noqa: E731
            await until(pilot, lambda: bool(said()), "what is wrong")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert any(words in said() for words in ("cannot be used", "File too large", "full")), said()
        assert walk.query_one("#field-amount", Input).value == "4"
        await pilot.press("ctrl+r")
        await until(pilot, lambda: shown(walk, "coverage"), "the step, with room again")
        assert walk.session.model("coverage").amount == 4


async def test_a_session_open_in_a_second_process_can_be_looked_at(one):  # noqa: F811
    program = """
        import sys
        from pathlib import Path
        from core.wizard.session import Session
        session = Session.open(Path(sys.argv[1]))
        print("ready", flush=True)
        sys.stdin.read()
        session.close()
    """
    with second_process(program, str(one / "one")):
        app = CalmtuneApp(one, "one")
        async with app.run_test(size=(120, 36)) as pilot:
            walk = await walk_of(app, pilot)
            assert walk.session.read_only
            assert "only to look at" in walk.query_one("TopBar").state
            await pilot.press("ctrl+r")
            await pilot.pause()
            assert walk.at_work is None
            await pilot.press("escape")
            await until(pilot, lambda: isinstance(app.screen, SessionsScreen) and app.focused is not None, "the list")
            line = app.screen.query_one("#sessions", OptionList)
            await until(pilot, lambda: "open elsewhere" in str(line.get_option_at_index(0).prompt), "who has it")


def test_a_database_locked_by_a_second_process_can_only_be_looked_at(one):  # noqa: F811
    program = """
        import sqlite3, sys
        connection = sqlite3.connect(sys.argv[1], isolation_level=None)
        connection.execute("BEGIN IMMEDIATE")
        print("ready", flush=True)
        sys.stdin.read()
    """
    session = Session(one / "one")
    session.journal._connection.execute("PRAGMA busy_timeout=50")
    with second_process(program, str(one / "one" / "session.db")):
        session.take()
        assert session.read_only
        assert "locked" in session.notice
        assert session.status("coverage").state == "ready"
        with pytest.raises(UsageError, match="locked"):
            session.answer("coverage", {"amount": 2})
    session.close()


@pytest.mark.parametrize("name", ["[red]", "😀😀", "\u202eevil", "a\x1b[2Jb\x07", "\tש\u05dc", "n" * 200])
async def test_names_of_sessions_and_assistants_are_only_texts(tmp_path, name, fake):  # noqa: F811
    folder = tmp_path / "sessions" / name
    folder.mkdir(parents=True)
    session = Session(folder).take()
    session.answer("session", {"assistant": str(tmp_path / name)})
    session.close()
    app = CalmtuneApp(tmp_path / "sessions")
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: isinstance(app.screen, WalkScreen), "the walk")
        await pilot.pause(0.2)
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, SessionsScreen) and app.focused is not None, "the list")
        await pilot.pause(0.2)
        drawn = app.export_screenshot(simplify=True)
        assert "\x1b" not in drawn
        assert "\u202e" not in drawn
    assert os.path.isdir(folder)
