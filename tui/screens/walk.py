"""The walk through a session: the steps on the left, the one in view on the right as form, run or result."""

from __future__ import annotations

import asyncio
import contextlib
import time

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Button, ContentSwitcher, Footer, OptionList
from textual.worker import Worker, WorkerState

from core.errors import CalmtuneError
from core.wizard.answers import SESSION, questions
from core.wizard.consequences import Consequence, consequences
from core.wizard.events import Cost, MachineCost
from core.wizard.recipe import STEP_IDS, step
from core.wizard.rents import still_rented
from core.wizard.session import Session
from tui.browser import report_of
from tui.cost_meter import costs_of
from tui.drafts import FILE, Drafts, command
from tui.leaving import what_goes_on
from tui.look import Look, look, running_line
from tui.mishap import Mishap, failed_before, mishap_of
from tui.results.choose import result_panel
from tui.running import RunningStep
from tui.safe_text import one_line
from tui.screens.dialogs import ChangeDialog, LeaveDialog, StopDialog
from tui.screens.walk_windows import WalkWindows
from tui.widgets.command_bar import CommandBar
from tui.widgets.error_card import ErrorCard
from tui.widgets.outlook import Outlook
from tui.widgets.question_form import QuestionForm
from tui.widgets.run_panel import RunPanel
from tui.widgets.step_buttons import StepButtons
from tui.widgets.step_head import StepHead
from tui.widgets.stepper import Stepper
from tui.widgets.top_bar import TopBar

SECONDS_BETWEEN_LOOKS = 0.1
SECONDS_OF_A_LOOK = 0.03
"""How long taking over events may keep the screen from being drawn; what is left waits for the next look."""
EVENTS_AT_ONCE = 1000
TRAINING = "training"
"""The step that may end early and keep what it has."""
_SOMETIMES = {"next", "back", "run", "stop", "edit", "result", "review", "machines", "report", "preview", "chat"}
"""Actions that mean something now and then only."""
_WRONG = (CalmtuneError, OSError)
"""What reading and writing a session may raise."""


class WalkScreen(WalkWindows):
    """Shows a session. What is seen follows from the session and the step in view; there is no "advance"."""

    CSS_PATH = "walk.tcss"
    BINDINGS = [
        Binding("ctrl+r", "run", "Run", tooltip="Run the step in view", id="run"),
        Binding("ctrl+n", "next", "Next", tooltip="Show the following step", id="next"),
        Binding("ctrl+b", "back", "Back", tooltip="Show the step before", id="back"),
        Binding("ctrl+e", "edit", "Answers", tooltip="Show or change the answers of the step in view", id="edit"),
        Binding("v", "review", "Rows", tooltip="Look at the rows; accept, reject and edit them", id="review"),
        Binding("ctrl+o", "machines", "Machines", tooltip="Machines to rent, with what training takes there", id="machines"),
        Binding("ctrl+g", "preview", "Preview", tooltip="What this step will write, as a difference to what is there", id="preview"),
        Binding("ctrl+t", "chat", "Talk", tooltip="Talk with the tuned model", id="chat"),
        Binding("o", "report", "Report", tooltip="Open the report of the session in the browser", id="report"),
        Binding("ctrl+x", "stop", "Stop", tooltip="Stop the running step; training can also end and keep its model", id="stop"),
        Binding("ctrl+y", "copy", "Copy command", tooltip="Copy the command that does the same", show=False, id="copy"),
        Binding("escape", "result", "Result", tooltip="Back to the result; what was changed is kept in the form", id="result"),
        Binding("escape", "leave", "Sessions", tooltip="Back to the list of sessions", id="leave"),
    ]

    class StepEnded(Message):
        """The running step ended, well or not."""

        def __init__(self, run: RunningStep) -> None:
            super().__init__()
            self.run = run

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        self.view = session.frontier
        self.at_work: RunningStep | None = None
        self._look: Look | None = None
        self._editing = False
        self._drafts = Drafts(None if session.read_only else session.folder / FILE, session.answers)
        self._mishaps: dict[str, Mishap] = {}
        self._idle = asyncio.Event()
        self._showing = asyncio.Lock()
        self._left = False

    def compose(self) -> ComposeResult:
        yield TopBar()
        with Horizontal(id="body"):
            yield Stepper(id="stepper")
            with Vertical(id="main"):
                yield StepHead(id="head")
                yield ContentSwitcher(id="panel")
                yield Outlook(id="consequence")
                yield StepButtons(id="buttons")
        yield CommandBar()
        yield Footer()

    async def on_mount(self) -> None:
        self.set_interval(SECONDS_BETWEEN_LOOKS, self._show_events)
        if self.session.notice:
            self.notify(self.session.notice, severity="warning")
        assistant = self.session.answers.get(SESSION, {}).get("assistant", "")
        self.query_one(TopBar).where = f"{self.session.id} · {str(assistant).rstrip('/').rpartition('/')[2]}"
        await self._show()
        if not self.session.read_only:
            self._tell_rented()

    # What is seen

    @work(thread=True, exit_on_error=False, group="rented")
    def _tell_rented(self) -> None:
        """Say which machines were left running when the session was last open."""
        try:
            told = still_rented(self.session.journal)
        except CalmtuneError as error:
            told = [f"rented machines may still be there: {error}"]
        for sentence in told:
            self.app.call_from_thread(self.notify, sentence, severity="warning", timeout=15)

    async def _show(self, view: str | None = None, edit: bool = False) -> None:
        """Show a step: its form, its run or its result; None is the one in view when it is this call's turn. One after the other: a worker
        may ask while a key does."""
        async with self._showing:
            if not self._left:
                await self._show_step(view or self.view, edit)

    async def _show_step(self, view: str, edit: bool) -> None:
        self._keep_draft()
        try:
            seen = look(self.session, view, self.at_work, edit)
            self.query_one(TopBar).costs = costs_of(self.session)
        except _WRONG as error:
            self._tell(error, "The session cannot be read")
            return
        self.view, self._editing, self._look = view, edit, seen
        self.query_one(Stepper).show(seen.lines, view)
        self.query_one(Outlook).update("")
        only_look = " · only to look at" * self.session.read_only
        self.query_one(TopBar).state = f"{seen.place} · {seen.done} of {len(STEP_IDS)} done{only_look}"
        self.query_one(StepHead).show(seen, self._mishap(seen))
        await self._fill_panel(seen)
        self._show_command()
        self.query_one(StepButtons).show(seen, edit)
        self.refresh_bindings()

    def _mishap(self, seen: Look) -> Mishap | None:
        """What went wrong with a step, in this app or before."""
        if seen.step in self._mishaps:
            return self._mishaps[seen.step]
        failed = seen.status.state == "failed" and not seen.running
        return failed_before(seen.status.reason, f"{seen.title} failed", self.session, seen.step) if failed else None

    def _tell(self, error: BaseException, title: str) -> None:
        """A card over the step in view."""
        self.query_one(ErrorCard).mishap = mishap_of(error, title, self.session, self.view)

    @on(Worker.StateChanged)
    def _worker_changed(self, event: Worker.StateChanged) -> None:
        if event.state is WorkerState.ERROR and event.worker.error is not None and not self._left:
            self._tell(event.worker.error, "That did not work")

    async def _fill_panel(self, seen: Look) -> None:
        """The run while there is one, else the result that can be shown, else the questions."""
        panel = self.query_one("#panel", ContentSwitcher)
        if seen.running and self.query("#run-panel"):
            panel.current = "run-panel"
            return
        panel.current = None  # else a result that follows a result, with the same id, would stay hidden
        for child in list(panel.children):
            if child.id != "run-panel" or self.at_work is None:
                await child.remove()
        if seen.running:
            content: Widget = RunPanel(id="run-panel")
        elif seen.shown is not None:
            content = result_panel(self.session, seen.shown)
        else:
            given = self._drafts.of(seen.step, self.session.answers)
            content = QuestionForm(questions(seen.step), given, id="form")
        await panel.add_content(content)
        if content.is_attached:  # not when the app is left meanwhile
            panel.current = content.id
        if isinstance(content, QuestionForm):
            self.query_one(Outlook).weigh(self.session, seen.step, given)

    def _show_events(self) -> None:
        """Take over what the step has told, but no longer than a look may take."""
        panels = [panel for panel in self.query(RunPanel) if panel.is_mounted and panel.children]
        until, with_costs = time.monotonic() + SECONDS_OF_A_LOOK, False
        if self._left or self.at_work is None or not panels:
            return
        while events := self.at_work.take_events(EVENTS_AT_ONCE):
            panels[0].show_events(events)
            self.query_one(Stepper).update(running_line(self.at_work))
            with_costs |= any(isinstance(event, Cost | MachineCost) for event in events)
            if time.monotonic() > until:
                break
        if with_costs:
            with contextlib.suppress(*_WRONG):  # the step itself will tell
                self.query_one(TopBar).costs = costs_of(self.session)

    def _show_command(self) -> None:
        bar = self.query_one(CommandBar)
        bar.command = command(self.session.id, self.view, self._drafts.settings(self.session.answers))
        keys = [active.binding for active in self.active_bindings.values() if active.binding.id == "copy"]
        bar.key = self.app.get_key_display(keys[0]) if keys else ""

    @on(QuestionForm.Changed)
    def _weigh(self, event: QuestionForm.Changed) -> None:
        if self._left:
            return  # what was typed came after the session was given free
        self._keep_draft()
        self._show_command()
        self.query_one(Outlook).weigh(self.session, self.view, event.form.values)

    def _keep_draft(self) -> None:
        """What is in the form is not lost by looking elsewhere."""
        for form in self.query(QuestionForm):
            if form.is_mounted and form.section:
                with contextlib.suppress(*_WRONG):  # a session that cannot be read is told of by what shows it
                    self._drafts.keep(form.section, form.values, self.session.answers)

    @on(Outlook.Broke)
    def _tell_broken(self, event: Outlook.Broke) -> None:
        if not self._left:
            self._tell(event.error, "What this would undo and cost cannot be told")

    @on(Outlook.Weighed)
    def _show_wrong(self, event: Outlook.Weighed) -> None:
        for form in self.query(QuestionForm):
            form.show_error(event.wrong)

    # What is done

    @on(OptionList.OptionSelected, "#stepper")
    async def _select(self, event: OptionList.OptionSelected) -> None:
        await self._show(str(event.option.id))

    @on(StepHead.Selected)
    async def _clicked(self, event: StepHead.Selected) -> None:
        await self._show(event.step)

    @on(Button.Pressed)
    async def _press(self, event: Button.Pressed) -> None:
        await self.run_action(str(event.button.id))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Hide keys that mean nothing now."""
        if self._look is None or action not in _SOMETIMES:
            return True
        return action in self._look.actions and (action != "report" or report_of(self.session).is_file())

    async def action_next(self) -> None:
        await self._show(STEP_IDS[min(STEP_IDS.index(self.view) + 1, len(STEP_IDS) - 1)])

    async def action_back(self) -> None:
        await self._show(STEP_IDS[max(STEP_IDS.index(self.view) - 1, 0)])

    async def action_edit(self) -> None:
        await self._show(edit=True)

    async def action_result(self) -> None:
        await self._show()

    def action_copy(self) -> None:
        self.app.copy_to_clipboard(self.query_one(CommandBar).command)
        self.notify("the command is in the clipboard")

    async def action_run(self) -> None:
        """Take over the form's answers and run the step in view; asks first where finished steps would become stale."""
        if self.at_work is not None or self.session.read_only:
            return
        stale: list[Consequence] = []
        for form in self.query(QuestionForm):
            with contextlib.suppress(*_WRONG):  # taking them over says what is wrong
                stale = await asyncio.to_thread(consequences, self.session, self.view, form.values)
        if stale or self.writes_for_good:
            self._ask_and_run(stale)
        else:
            await self._begin()

    @work(exit_on_error=False)
    async def _ask_and_run(self, stale: list[Consequence]) -> None:
        """What becomes stale, then what is written outside the session; nothing happens before both are agreed to."""
        if stale and not await self.app.push_screen_wait(ChangeDialog(stale, {id: step(id).title for id in STEP_IDS})):
            return
        if not self.writes_for_good or await self.app.push_screen_wait(self._preview(asks=True)):
            await self._begin()

    async def _begin(self) -> None:
        if not self._take_answers():
            return
        try:
            status = self.session.status(self.view)
        except _WRONG as error:
            self._tell(error, "The session cannot be read")
            return
        if status.state != "blocked" and not status.done:
            self._mishaps.pop(self.view, None)
            self._idle.clear()
            self.at_work = RunningStep(self.session, self.view, lambda run: self.post_message(self.StepEnded(run)))
            self.at_work.start()
        await self._show()

    def _take_answers(self) -> bool:
        """Take over what is in the form; False, with the reason shown, when it cannot be."""
        for form in self.query(QuestionForm):
            try:
                self.session.answer(self.view, form.values)
            except CalmtuneError as error:
                form.show_error(str(error))
                return False
            except OSError as error:
                self._tell(error, "The answers cannot be kept")
                return False
            self._drafts.drop(self.view)
            form.section = ""
        return True

    @on(StepEnded)
    async def _ended(self, event: StepEnded) -> None:
        self._show_events()
        self.at_work = None
        if self._left:
            return
        run = event.run
        title = step(run.step).title
        if run.error is not None:
            self._mishaps[run.step] = mishap_of(run.error, f"{title} did not finish", self.session, run.step)
            self.notify(one_line(str(run.error), 300), title=title, severity="error", timeout=10)
        await self._show()
        if run.error is not None and run.step == self.view:
            self.query_one(ErrorCard).focus()
        self._idle.set()

    @work(exit_on_error=False)
    async def action_stop(self) -> None:
        """End the running step and its job; training may also end where it is and keep its model."""
        if self.at_work is None:
            return
        choice = await self.app.push_screen_wait(StopDialog()) if self.at_work.step == TRAINING else "stop"
        if self.at_work is None or choice == "stay":
            return
        if choice == "keep":
            self.at_work.keep()
            self.notify("training ends one step on; its best weights so far become the model")
        else:
            self.at_work.stop()

    @work(exit_on_error=False)
    async def action_leave(self) -> None:
        """Back to the sessions; asks first while something runs."""
        if await self.may_leave():
            self.leave_running()
            self.dismiss(None)

    async def may_leave(self) -> bool:
        """Ask what becomes of what is running; True when the walk may be left."""
        going_on = what_goes_on(self.session, self.at_work.step if self.at_work else None)
        for served in going_on.serving:
            self.notify(f"{served} goes on; `calmtune stop {self.session.id}` ends it", timeout=8)
        if not (going_on.running or going_on.ending):
            return True
        dialog = LeaveDialog(going_on, self.session.id, at_work=self.at_work is not None)
        choice = await self.app.push_screen_wait(dialog)
        if choice == "stop" and self.at_work is not None:
            self.at_work.stop()
            await self._idle.wait()
        return choice != "stay"

    def leave_running(self) -> None:
        """Let go of the session; a job that runs goes on without the app."""
        self._left = True
        if self.at_work is not None:
            self.at_work.leave()
        self.session.close()
