"""The walk through a session: the steps on the left, the one in view on the right as form, run or result."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical
from textual.message import Message
from textual.screen import Screen
from textual.widgets import Button, ContentSwitcher, Footer, Label, OptionList, Static
from textual.worker import Worker, WorkerState, get_current_worker

from core.errors import CalmtuneError
from core.wizard.answers import SESSION, questions
from core.wizard.consequences import consequences, in_words
from core.wizard.estimate import spending
from core.wizard.events import StepEvent
from core.wizard.jobs import KEEP, LEAVE
from core.wizard.machine_costs import still_rented, usd_per_hour
from core.wizard.quotes import training_quotes
from core.wizard.recipe import STEP_IDS, step
from core.wizard.row_review import STEP as REVIEWED
from core.wizard.run import run_step
from core.wizard.session import Session, StepStatus
from provisioning.places import LOCAL, SKY
from tui.browser import report_of, show_in_browser
from tui.help_texts import STEP_HELP
from tui.results.choose import result_panel, status_to_show
from tui.results.dataset import DatasetResult
from tui.results.evaluation import EvaluationResult
from tui.screens.dialogs import HelpDialog, LeaveDialog, StopDialog
from tui.screens.machines import MachinesScreen
from tui.screens.review import ReviewScreen
from tui.widgets.command_bar import CommandBar
from tui.widgets.question_form import QuestionForm
from tui.widgets.run_panel import RunPanel
from tui.widgets.stepper import StepLine, Stepper, trail
from tui.widgets.top_bar import TopBar

SECONDS_BETWEEN_LOOKS = 0.1
SECONDS_OF_A_LOOK = 0.03
"""How long taking over events may keep the screen from being drawn; what is left waits for the next look."""
EVENTS_AT_ONCE = 1000
TRAINING = "training"
"""The step that may end early and keep what it has."""


class WalkScreen(Screen[None]):
    """Shows a session. What is seen follows from the session and the step in view; there is no "advance"."""

    CSS_PATH = "walk.tcss"
    BINDINGS = [
        Binding("ctrl+r", "run", "Run", tooltip="Run the step in view", id="run"),
        Binding("ctrl+n", "next", "Next", tooltip="Show the following step", id="next"),
        Binding("ctrl+b", "back", "Back", tooltip="Show the step before", id="back"),
        Binding("ctrl+e", "edit", "Answers", tooltip="Show or change the answers of the step in view", id="edit"),
        Binding("v", "review", "Rows", tooltip="Look at the rows; accept, reject and edit them", id="review"),
        Binding("ctrl+o", "machines", "Machines", tooltip="Machines to rent, with what training takes there", id="machines"),
        Binding("o", "report", "Report", tooltip="Open the report of the session in the browser", id="report"),
        Binding("ctrl+x", "stop", "Stop", tooltip="Stop the running step; training can also end and keep its model", id="stop"),
        Binding("ctrl+y", "copy", "Copy command", tooltip="Copy the command that does the same", show=False, id="copy"),
        Binding("f1", "help", "Help", tooltip="What this step does, and the keys", id="help"),
        Binding("escape", "leave", "Sessions", tooltip="Back to the list of sessions", id="leave"),
    ]

    class StepEnded(Message):
        """The running step ended, with a sentence when it went wrong."""

        def __init__(self, step: str, error: str | None) -> None:
            super().__init__()
            self.step, self.error = step, error

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        self.view = session.frontier
        self._events: deque[StepEvent] = deque()
        self._at_work: str | None = None
        self._editing = False
        self._cancel: Callable[[str], object] | None = None
        self._idle = asyncio.Event()

    def compose(self) -> ComposeResult:
        yield TopBar()
        with Horizontal(id="body"):
            yield Stepper(id="stepper")
            with Vertical(id="main"):
                yield Static("", id="trail")
                yield Label("", id="title", markup=False)
                yield Label("", id="purpose", markup=False)
                yield Label("", id="reason", markup=False)
                yield ContentSwitcher(id="panel")
                yield Label("", id="consequence", markup=False)
                with Horizontal(id="buttons"):
                    yield Button("Run", variant="primary", id="run", compact=True)
                    yield Button("Next step", variant="primary", id="next", compact=True)
                    yield Button("Review rows", id="review", compact=True)
                    yield Button("Answers", id="edit", compact=True)
                    yield Button("Stop", variant="error", id="stop", compact=True)
        yield CommandBar()
        yield Footer()

    async def on_mount(self) -> None:
        self.set_interval(SECONDS_BETWEEN_LOOKS, self._show_events)
        if self.session.notice:
            self.notify(self.session.notice, severity="warning")
        assistant = self.session.answers.get(SESSION, {}).get("assistant", "")
        self.query_one(TopBar).where = f"{self.session.id} · {str(assistant).rstrip('/').rpartition('/')[2]}"
        await self._show(self.view)
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

    async def _show(self, view: str, edit: bool = False, problem: str | None = None) -> None:
        """Show a step: its form, its run or its result."""
        self.view, self._editing = view, edit
        statuses = {status.step: status for status in self.session.statuses()}
        status, it = statuses[view], step(view)
        lines = [StepLine(id, step(id).title, self._state(statuses[id]), statuses[id].reason) for id in STEP_IDS]
        done = sum(status.state == "fresh" for status in statuses.values())
        self.query_one(Stepper).show(lines, view)
        self.query_one("#trail", Static).update(trail(lines, view))
        self.query_one("#title", Label).update(f"{STEP_IDS.index(view) + 1}  {it.title}")
        self.query_one("#purpose", Label).update(it.purpose)
        self.query_one("#consequence", Label).update("")
        self.query_one(TopBar).state = f"{self._place(view)} · {done} of {len(STEP_IDS)} steps done"
        self.query_one(CommandBar).command = f"calmtune run --session {self.session.id} --until {view}"
        shown = None if edit else status_to_show(self.session, status)
        self._show_reason(shown or status, problem)
        await self._fill_panel(status, shown)
        running, finished = self._at_work == view, status.done and not edit
        result = bool(self.query("#result"))
        self.query_one("#run", Button).display = not running and not finished and status.state != "blocked"
        self.query_one("#run", Button).label = "Resume" if status.state == "interrupted" else "Run"
        self.query_one("#run", Button).disabled = self._at_work is not None or self.session.read_only
        self.query_one("#next", Button).display = status.state == "fresh" and not edit and view != STEP_IDS[-1]
        self.query_one("#edit", Button).display = result
        self.query_one("#review", Button).display = result and view == REVIEWED
        self.query_one("#stop", Button).display = running
        self.refresh_bindings()

    def _place(self, view: str) -> str:
        """Where the jobs of a step run."""
        chosen = self.session.answers.get("training" if view == "production" else view, {}).get("machine", LOCAL)
        return "this machine" if chosen == LOCAL else str(chosen)

    def _show_reason(self, status: StepStatus, problem: str | None) -> None:
        reason = self.query_one("#reason", Label)
        text = problem or (f"{status.state}: {status.reason}" if status.reason else "")
        shown = bool(text) and not (status.done and problem is None)  # the scoreboard says it of a finished step
        reason.set_class(problem is not None or status.state == "failed", "problem")
        reason.display = shown
        reason.update(text)

    def _state(self, status: StepStatus) -> str:
        return "running" if self._at_work == status.step else status.state

    async def _fill_panel(self, status: StepStatus, shown: StepStatus | None) -> None:
        """The run while there is one, else the result that can be shown, else the questions."""
        panel = self.query_one("#panel", ContentSwitcher)
        if self._at_work == status.step and self.query("#run-panel"):
            panel.current = "run-panel"
            return
        panel.current = None  # else a result that follows a result, with the same id, would stay hidden
        for child in list(panel.children):
            if child.id != "run-panel" or self._at_work is None:
                await child.remove()
        if self._at_work == status.step:
            await panel.add_content(RunPanel(id="run-panel"), set_current=True)
        elif shown is not None:
            await panel.add_content(result_panel(self.session, shown), set_current=True)
        else:
            given = self.session.answers.get(status.step, {})
            await panel.add_content(QuestionForm(questions(status.step), given, id="form"), set_current=True)
            self._tell_consequences(status.step, dict(given))

    def _show_events(self) -> None:
        """Take over what the step has told, but no longer than a look may take."""
        panel, until = next(iter(self.query(RunPanel)), None), time.monotonic() + SECONDS_OF_A_LOOK
        while panel is not None and self._events:
            panel.show_events([self._events.popleft() for _ in range(min(EVENTS_AT_ONCE, len(self._events)))])
            if time.monotonic() > until:
                break

    @on(QuestionForm.Changed)
    def _weigh(self, event: QuestionForm.Changed) -> None:
        self._tell_consequences(self.view, event.form.values)

    @work(thread=True, exclusive=True, exit_on_error=False, group="consequences")
    def _tell_consequences(self, view: str, given: dict[str, object]) -> None:
        """Say what the answers in the form would make stale and spend, before they are taken over."""
        worker = get_current_worker()
        text = wrong = ""
        try:
            stale = in_words(consequences(self.session, view, given), {id: step(id).title for id in STEP_IDS})
            told = [f"{what}: {said}" for what, said in spending(self.session, view, given).items()]
            text = "\n".join(filter(None, (stale, *told)))
        except CalmtuneError as error:
            wrong = str(error)
        if not worker.is_cancelled:
            self.app.call_from_thread(self._show_consequences, text, wrong)

    def _show_consequences(self, text: str, wrong: str) -> None:
        self.query_one("#consequence", Label).update(text)
        for form in self.query(QuestionForm):
            form.show_error(wrong)

    # What is done

    @on(OptionList.OptionSelected, "#stepper")
    async def _select(self, event: OptionList.OptionSelected) -> None:
        await self._show(str(event.option.id))

    @on(Button.Pressed)
    async def _press(self, event: Button.Pressed) -> None:
        await self.run_action(str(event.button.id))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Hide keys that mean nothing now."""
        if not self.is_mounted:
            return True
        if action == "stop":
            return self._at_work is not None
        if action == "run":
            return self._at_work is None and self.query_one("#run", Button).display
        if action == "edit":
            return bool(self.query("#result"))
        if action == "review":
            return bool(self.query(DatasetResult))
        if action == "machines":
            return self.view == TRAINING and bool(self.query("#form")) and not self.session.read_only
        if action == "report":
            return bool(self.query(EvaluationResult)) and report_of(self.session).is_file()
        return True

    async def action_next(self) -> None:
        await self._show(STEP_IDS[min(STEP_IDS.index(self.view) + 1, len(STEP_IDS) - 1)])

    async def action_back(self) -> None:
        await self._show(STEP_IDS[max(STEP_IDS.index(self.view) - 1, 0)])

    async def action_edit(self) -> None:
        if self._at_work != self.view:
            await self._show(self.view, edit=True)

    def action_copy(self) -> None:
        self.app.copy_to_clipboard(self.query_one(CommandBar).command)
        self.notify("the command is in the clipboard")

    def action_help(self) -> None:
        keys = [
            (shown.binding.key, shown.binding.tooltip)
            for shown in self.active_bindings.values()
            if shown.binding.tooltip
        ]
        self.app.push_screen(HelpDialog(step(self.view).title, STEP_HELP[self.view], keys))

    @work
    async def action_review(self) -> None:
        """The rows over the whole screen; then the step as decisions made of it."""
        again = await self.app.push_screen_wait(ReviewScreen(self.session))
        await self._show(self.view)
        if again:
            await self.action_run()

    @work
    async def action_machines(self) -> None:
        """Choose a machine to rent; it and the terms it is rented on become answers."""
        form = self.query_one("#form", QuestionForm)
        try:
            self.session.answer(self.view, form.values)
        except CalmtuneError as error:
            form.show_error(str(error))
            return
        place = self.session.model(self.view).machine
        place = place if place.partition(":")[0] == SKY else SKY
        chosen = await self.app.push_screen_wait(MachinesScreen(lambda: training_quotes(self.session, place), place))
        if chosen is not None:
            offer = chosen.offer
            machine = f"{SKY}:{offer.infra}" if offer.infra else place
            self.session.answer(self.view, {**self.session.answers.get(self.view, {}), "machine": machine})
            terms = {"cloud_gpus": offer.gpu_type, "cloud_spot": offer.spot}
            self.session.answer(SESSION, {**self.session.answers[SESSION], **{name: value for name, value in terms.items() if value != ""}})
        await self._show(self.view, edit=True)

    def action_report(self) -> None:
        show_in_browser(self.app, report_of(self.session))

    async def action_run(self) -> None:
        """Take over the form's answers and run the step in view."""
        form = self.query("#form")
        if self._at_work is not None or self.session.read_only:
            return
        try:
            if form:
                self.session.answer(self.view, form.first(QuestionForm).values)
        except CalmtuneError as error:
            form.first(QuestionForm).show_error(str(error))
            return
        status = self.session.status(self.view)
        if status.state == "blocked" or status.done:
            await self._show(self.view)
            return
        self._at_work = self.view
        self._idle.clear()
        self._events.clear()
        await self._show(self.view)
        self._work(self.view)

    @work(thread=True, exit_on_error=False, group="step")
    def _work(self, id: str) -> None:
        """The step in a thread with an event loop of its own, so that the screen stays alive."""
        error: str | None = None
        try:
            asyncio.run(self._run(id))
        except asyncio.CancelledError:
            error = "stopped"
        except CalmtuneError as problem:
            error = str(problem)
        self.post_message(self.StepEnded(id, error))

    async def _run(self, id: str) -> None:
        task, loop = asyncio.current_task(), asyncio.get_running_loop()
        assert task is not None
        self._cancel = lambda message: loop.call_soon_threadsafe(task.cancel, message)
        await run_step(self.session, id, lambda _, event: self._events.append(event))

    @on(StepEnded)
    async def _ended(self, event: StepEnded) -> None:
        self._at_work, self._cancel = None, None
        self._show_events()
        if event.error:
            self.notify(event.error, title=step(event.step).title, severity="error", timeout=10)
        await self._show(
            event.step if self.view == event.step else self.view,
            problem=event.error if self.view == event.step else None,
        )
        self._idle.set()

    @on(Worker.StateChanged)
    async def _worker_changed(self, event: Worker.StateChanged) -> None:
        if event.state is WorkerState.ERROR and event.worker.group == "step":
            self.post_message(
                self.StepEnded(self._at_work or self.view, f"a mistake in calmtune: {event.worker.error!r}")
            )

    @work
    async def action_stop(self) -> None:
        """End the running step and its job; training may also end where it is and keep its model."""
        choice = await self.app.push_screen_wait(StopDialog()) if self._at_work == TRAINING else "stop"
        if choice != "stay" and self._cancel is not None:
            self._cancel(KEEP if choice == "keep" else choice)
        if choice == "keep":
            self.notify("training ends one step on; its best weights so far become the model")

    @work
    async def action_leave(self) -> None:
        """Back to the sessions; asks first while something runs."""
        if await self.may_leave():
            self.leave_running()
            self.dismiss(None)

    async def may_leave(self) -> bool:
        """Ask what becomes of a running step; True when the walk may be left."""
        if self._at_work is None:
            return True
        running = [f"{step(self._at_work).title} (step {STEP_IDS.index(self._at_work) + 1})"]
        choice = await self.app.push_screen_wait(LeaveDialog(running, self.session.id, usd_per_hour(self.session.journal)))
        if choice == "stop" and self._cancel is not None:
            self._cancel(choice)
            await self._idle.wait()
        return choice != "stay"

    def leave_running(self) -> None:
        """Let go of the session; a job that runs goes on without the app."""
        if self._cancel is not None:
            self._cancel(LEAVE)
            for thread in threading.enumerate():
                if thread.name.startswith("asyncio"):
                    thread.join(timeout=1)
        self.session.close()
