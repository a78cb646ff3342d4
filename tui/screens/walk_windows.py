"""What opens over a step of the walk: its rows, machines to rent, what it will write, a conversation, the report."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual import work
from textual.reactive import Reactive
from textual.screen import Screen
from textual.widget import Widget

from core.wizard import recipe
from core.wizard.session import Session
from provisioning.place_names import SKY
from tui.browser import report_of, show_in_browser
from tui.drafts import Drafts
from tui.widgets.question_form import QuestionForm

if TYPE_CHECKING:
    from tui.screens.preview import PreviewScreen


class WalkWindows(Screen[None]):
    """The half of the walk that opens other screens, each loaded when it is wanted, and takes up what was chosen there."""

    focused: Reactive[Widget | None] = Reactive(None, repaint=False)
    """Else the whole screen is drawn again whenever the focus moves; the widgets it leaves and reaches draw themselves."""
    session: Session
    view: str
    """Id of the step in view."""
    _drafts: Drafts

    async def _show(self, view: str | None = None, edit: bool = False) -> None:
        raise NotImplementedError

    def _take_answers(self) -> bool:
        raise NotImplementedError

    async def action_run(self) -> None:
        raise NotImplementedError

    @work(exit_on_error=False)
    async def action_review(self) -> None:
        """The rows over the whole screen; then the step as decisions made of it."""
        from tui.screens.review import ReviewScreen

        again = await self.app.push_screen_wait(ReviewScreen(self.session))
        await self._show()
        if again:
            await self.action_run()

    @work(exit_on_error=False)
    async def action_machines(self) -> None:
        """Choose a machine to rent; it and the terms it is rented on become answers."""
        from core.wizard.quotes import training_quotes
        from tui.screens.machines import MachinesScreen, take_over

        if not self._take_answers():
            return
        place = self.session.model(self.view).machine
        place = place if place.partition(":")[0] == SKY else SKY
        chosen = await self.app.push_screen_wait(MachinesScreen(lambda: training_quotes(self.session, place), place))
        if chosen is not None:
            take_over(self.session, self.view, chosen.offer, place)
            self._drafts.drop(self.view)
        await self._show(edit=True)

    @work(exit_on_error=False)
    async def action_chat(self) -> None:
        """Talk with the tuned model over the whole screen."""
        from tui.screens.chat import ChatScreen

        await self.app.push_screen_wait(ChatScreen(self.session))
        await self._show()

    def action_preview(self) -> None:
        self.app.push_screen(self._preview())

    def _preview(self, asks: bool = False) -> PreviewScreen:
        from core.wizard.foreseen import foreseen
        from tui.screens.preview import PreviewScreen

        view, given = self.view, dict(self._drafts.of(self.view, self.session.answers))
        return PreviewScreen(recipe.step(view).title, lambda: foreseen(self.session, view, given), asks)

    def action_report(self) -> None:
        show_in_browser(self.app, report_of(self.session))

    @property
    def writes_for_good(self) -> bool:
        """True when the step in view would change the owner's own files."""
        return any(form.values.get("in_place") for form in self.query(QuestionForm))
