"""The screens of the app in a finished session of the demo, one after the other."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

from textual.command import CommandPalette
from textual.pilot import Pilot
from textual.screen import Screen
from textual.widgets import Input, OptionList

from core.wizard.recipe import STEP_IDS
from tui.results.panel import ResultPanel
from tui.screens.conversation import ConversationScreen
from tui.screens.dialogs import ChangeDialog, HelpDialog
from tui.screens.flow_tests import FlowScreen
from tui.screens.preview import PreviewScreen
from tui.screens.review import ReviewScreen
from tui.screens.sessions import SessionsScreen
from tui.screens.tour import TourScreen
from tui.screens.walk import WalkScreen
from tui.widgets.question_form import QuestionForm


async def scenes(pilot: Pilot[None]) -> AsyncIterator[str]:
    """The name of each, when it is there to be taken."""
    app = pilot.app

    async def until(condition: Callable[[], bool]) -> None:
        # Workers of the default group wait for the person.
        while not condition() or any(worker.group != "default" and not worker.is_finished for worker in app.workers):
            await pilot.pause(0.05)
        await pilot.pause(0.3)

    async def press(*keys: str, to: type[Screen[object]] = WalkScreen) -> None:
        await pilot.press(*keys)
        await until(lambda: isinstance(app.screen, to))

    async def show(step: str, edit: bool = False) -> None:
        walk = app.screen
        assert isinstance(walk, WalkScreen)
        await walk._show(step, edit)
        await until(lambda: any(panel.is_mounted for panel in walk.query(QuestionForm if edit else ResultPanel)))

    await until(lambda: isinstance(app.screen, WalkScreen) and bool(app.screen.query("#result *, #form *")))
    for number, step in enumerate(STEP_IDS, 1):
        await show(step)
        yield f"{number}-{step}"
        if step == "coverage":
            app.screen.query_one("#flows").focus()
            await press("enter", to=FlowScreen)
            yield "1-coverage-flow"
            await press("escape")
        elif step == "dataset":
            await press("v", to=ReviewScreen)
            await press(*["down"] * 7, to=ReviewScreen)
            yield "2-dataset-rows"
            await press("escape")
        elif step == "training":
            app.screen.query_one("Replay").query_one("LossChart").focus()
            await press(*["comma"] * 8, "left")
            yield "3-training-replay"
            await show(step, edit=True)
            yield "3-training-answers"
            await press("f1", to=HelpDialog)
            yield "help"
            await press("escape")
            before = app.screen.query_one("#field-epochs", Input).value
            app.screen.query_one("#field-epochs", Input).value = "2"
            await press("ctrl+r", to=ChangeDialog)
            yield "change"
            await press("escape")
            app.screen.query_one("#field-epochs", Input).value = before
        elif step == "evaluation":
            app.screen.query_one("#turns", OptionList).focus()
            await press("enter", to=ConversationScreen)
            yield "4-evaluation-conversation"
            await press("escape")
        elif step == "connection":
            await show(step, edit=True)
            await press("ctrl+g", to=PreviewScreen)
            yield "7-connection-preview"
            await press("escape")
    await press("ctrl+p", *"run", to=CommandPalette)
    yield "palette"
    await press("escape")
    app.push_screen(TourScreen())
    await until(lambda: isinstance(app.screen, TourScreen))
    yield "tour"
    await press("escape")
    await press("escape")  # from the answers to the result
    await press("escape", to=SessionsScreen)
    yield "sessions"
