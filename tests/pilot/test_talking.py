"""Talking with the tuned model, and what a step would write."""

from __future__ import annotations

from pathlib import Path

import pytest
from rigs.chat_server import ChatServer, Fault
from textual.widgets import Checkbox, Input, OptionList, Static

from core.wizard.session import Session
from tests.pilot.test_app import PARCELS, SIZES, until
from tests.rigs.finished import CONNECTION, DEPLOYMENT, finish, finish_all
from tui.app import CalmtuneApp
from tui.results.connection import ConnectionResult
from tui.screens.chat import ChatScreen
from tui.screens.preview import PreviewScreen
from tui.screens.walk import WalkScreen
from tui.widgets.error_card import ErrorCard


def connected(home: Path, address: str, connection: bool = True) -> None:
    """A session whose model is deployed at an address."""
    session = Session.create(home, "one")
    session.answer("session", {"assistant": str(PARCELS)})
    finish_all(session)
    finish(session, "deployment", DEPLOYMENT | {"endpoint": address, "model": "calmtune", "needs_key": False})
    if connection:
        finish(session, "connection", CONNECTION, names={"diff": "configuration.diff"}, files={"configuration.diff": {}})
    else:
        session.forget(session.status("connection"))
    session.close()


async def at_connection(app, pilot) -> WalkScreen:
    await until(pilot, lambda: isinstance(app.screen, WalkScreen) and bool(app.screen.query("#result *, #form *")), "the walk")
    assert app.screen.view == "connection"
    await pilot.pause()
    return app.screen


def said(screen, selector: str) -> str:
    return "\n".join(str(part.render()) for part in screen.query(selector).results(Static))


@pytest.mark.parametrize("size", SIZES)
async def test_the_owner_goes_on_talking_with_the_tuned_model(tmp_path, size):
    with ChatServer(lambda prompt: "start flow opening_hours").running() as server:
        connected(tmp_path, server.url)
        app = CalmtuneApp(tmp_path, "one")
        async with app.run_test(size=size) as pilot:
            walk = await at_connection(app, pilot)
            assert walk.query(ConnectionResult)
            assert await pilot.click("#chat")
            await until(pilot, lambda: isinstance(app.screen, ChatScreen), "the conversation")
            chat = app.screen
            await until(pilot, lambda: not chat.query_one("#message", Input).disabled, "the model")
            chat.query_one("#message", Input).value = "when are you open [/x]"
            await pilot.press("enter")
            await until(pilot, lambda: "opening_hours started" in said(chat, ".commands"), "what the model wrote")
            assert "when are you open [/x]" in said(chat, ".user")
            assert said(chat, ".commands").startswith("start flow opening_hours   ")
            assert said(chat, ".commands").splitlines()[0].endswith(" ms")
            assert said(chat, ".bot"), "the assistant asks for the day"
            await pilot.press("ctrl+n")
            await until(pilot, lambda: not chat.query(".user"), "a new conversation")
            await pilot.press("escape")
            await until(pilot, lambda: app.screen is walk, "the step again")


async def test_a_server_that_fails_is_said_and_the_message_is_not_lost(tmp_path):
    with ChatServer(lambda prompt: "start flow opening_hours").running() as server:
        connected(tmp_path, server.url)
        app = CalmtuneApp(tmp_path, "one")
        async with app.run_test(size=(80, 24)) as pilot:
            await at_connection(app, pilot)
            await pilot.press("ctrl+t")
            await until(pilot, lambda: isinstance(app.screen, ChatScreen) and not app.screen.query_one("#message", Input).disabled, "it")
            chat = app.screen
            server._faults = iter([Fault(401)])
            chat.query_one("#message", Input).value = "hello"
            await pilot.press("enter")
            await until(pilot, lambda: chat.query_one(ErrorCard).mishap is not None, "the card")
            assert chat.query_one("#message", Input).value == "hello"
            server._faults = iter(())
            await pilot.press("enter")
            await until(pilot, lambda: "start flow" in said(chat, ".commands"), "the second try")


async def test_without_a_model_the_conversation_says_what_is_missing(tmp_path):
    connected(tmp_path, "http://127.0.0.1:9/v1")
    session = Session.open(tmp_path / "one")
    session.forget(session.status("production"))
    app = CalmtuneApp(tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: bool(app.screen.query("#path")) or isinstance(app.screen, WalkScreen), "a screen")
        app.push_screen(ChatScreen(session))
        await until(pilot, lambda: isinstance(app.screen, ChatScreen) and app.screen.query_one(ErrorCard).mishap is not None, "the card")
        assert "no tuned model to talk to yet: production is" in app.screen.query_one(ErrorCard).mishap.what
    session.close()


async def test_the_change_of_the_configuration_is_shown_before_it_is_written(tmp_path):
    connected(tmp_path, "http://127.0.0.1:4000/v1", connection=False)
    before = (PARCELS / "endpoints.yml").read_text()
    app = CalmtuneApp(tmp_path, "one")
    async with app.run_test(size=(80, 24)) as pilot:
        walk = await at_connection(app, pilot)
        walk.query_one("#field-in_place", Checkbox).value = True
        await pilot.press("ctrl+r")
        await until(pilot, lambda: isinstance(app.screen, PreviewScreen), "the question")
        preview = app.screen
        files = preview.query_one("#files", OptionList)
        await until(pilot, lambda: files.option_count > 1, "the files")
        names = [files.get_option_at_index(at).id for at in range(files.option_count)]
        files.highlighted = names.index("endpoints.yml")
        await until(pilot, lambda: "+" in str(preview.query_one("#diff", Static).render()), "a difference")
        assert "http://127.0.0.1:4000/v1" in str(preview.query_one("#diff", Static).render())
        assert "itself, with a backup" in str(preview.query_one("#heading").render())
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is walk, "the form")
        assert walk.at_work is None
        assert (PARCELS / "endpoints.yml").read_text() == before
        assert walk.session.status("connection").state != "fresh"
