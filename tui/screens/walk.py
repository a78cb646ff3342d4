"""The walk through a session: the steps on the left, the one in view on the right as form, run or result."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical
from textual.message import Message
from textual.screen import Screen
from textual.widgets import Button, ContentSwitcher, Footer, Header, Label, OptionList
from textual.worker import Worker, WorkerState

from core.errors import CalmtuneError
from core.wizard.answers import questions
from core.wizard.events import StepEvent
from core.wizard.jobs import LEAVE
from core.wizard.recipe import STEP_IDS, step
from core.wizard.run import run_step
from core.wizard.session import Session, StepStatus
from tui.widgets.question_form import QuestionForm
from tui.widgets.result_panel import ResultPanel
from tui.widgets.run_panel import RunPanel
from tui.widgets.stepper import StepLine, Stepper

SECONDS_BETWEEN_LOOKS = 0.2


class WalkScreen(Screen[None]):
    """Shows a session. What is seen follows from the session and the step in view; there is no "advance"."""

    CSS = """
    WalkScreen #main { padding: 0 2; width: 1fr; }
    WalkScreen #title { text-style: bold; margin: 1 0 0 0; }
    WalkScreen #purpose, WalkScreen #reason { color: $text-muted; height: auto; width: 1fr; }
    WalkScreen #reason.problem { color: $text-error; }
    WalkScreen #panel { height: 1fr; margin: 1 0 0 0; }
    WalkScreen #buttons { height: auto; }
    WalkScreen #buttons Button { margin: 0 2 0 0; }
    .-narrow WalkScreen #body { layout: vertical; }
    """
    BINDINGS = [
        Binding("ctrl+r", "run", "Run", tooltip="Run the step in view"),
        Binding("ctrl+n", "next", "Next", tooltip="Show the following step"),
        Binding("ctrl+b", "back", "Back", tooltip="Show the step before"),
        Binding("ctrl+e", "edit", "Answers", tooltip="Show or change the answers of the step in view"),
        Binding("escape", "leave", "Sessions", tooltip="Back to the list of sessions; running jobs go on"),
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
        self.sub_title = session.id
        self._events: deque[StepEvent] = deque()
        self._at_work: str | None = None
        self._cancel: Callable[[str], None] | None = None

    def compose(self) -> ComposeResult:
        yield Header()
        with Horizontal(id="body"):
            yield Stepper(id="stepper")
            with Vertical(id="main"):
                yield Label("", id="title", markup=False)
                yield Label("", id="purpose", markup=False)
                yield Label("", id="reason", markup=False)
                yield ContentSwitcher(id="panel")
                with Horizontal(id="buttons"):
                    yield Button("Run", variant="primary", id="run")
                    yield Button("Next", variant="success", id="next")
                    yield Button("Answers", id="edit")
                    yield Button("Stop", variant="error", id="stop")
        yield Footer()

    async def on_mount(self) -> None:
        self.set_interval(SECONDS_BETWEEN_LOOKS, self._show_events)
        if self.session.notice:
            self.notify(self.session.notice, severity="warning")
        await self._show(self.view)

    # What is seen

    async def _show(self, view: str, edit: bool = False, problem: str | None = None) -> None:
        """Show a step: its form, its run or its result."""
        self.view = view
        statuses = {status.step: status for status in self.session.statuses()}
        status, it = statuses[view], step(view)
        lines = [StepLine(id, step(id).title, self._mark(statuses[id]), statuses[id].reason[:60]) for id in STEP_IDS]
        self.query_one(Stepper).show(lines, view)
        self.query_one("#title", Label).update(f"{STEP_IDS.index(view) + 1}. {it.title}")
        self.query_one("#purpose", Label).update(it.purpose)
        reason = self.query_one("#reason", Label)
        reason.set_class(problem is not None or status.state in ("failed", "gate failed"), "problem")
        reason.update(problem or (f"{status.state}: {status.reason}" if status.reason else ""))
        await self._fill_panel(status, edit)
        running, done = self._at_work == view, status.done and not edit
        self.query_one("#run", Button).display = not running and not done and status.state != "blocked"
        self.query_one("#run", Button).disabled = self._at_work is not None or self.session.read_only
        self.query_one("#next", Button).display = status.state == "fresh" and view != STEP_IDS[-1]
        self.query_one("#edit", Button).display = not running and done
        self.query_one("#stop", Button).display = running

    def _mark(self, status: StepStatus) -> str:
        if self._at_work == status.step:
            return "running"
        return "failed_gate" if status.state == "gate failed" else status.state

    async def _fill_panel(self, status: StepStatus, edit: bool) -> None:
        panel = self.query_one("#panel", ContentSwitcher)
        running = self.query("#run-panel")
        if self._at_work == status.step and running:
            panel.current = "run-panel"
            return
        for child in list(panel.children):
            if child.id != "run-panel" or self._at_work is None:
                await child.remove()
        if self._at_work == status.step:
            await panel.add_content(RunPanel(id="run-panel"), set_current=True)
        elif status.done and not edit and status.outputs is not None and status.folder is not None:
            await panel.add_content(ResultPanel(status.outputs, status.folder, id="result"), set_current=True)
        else:
            form = QuestionForm(questions(status.step), self.session.answers.get(status.step, {}), id="form")
            await panel.add_content(form, set_current=True)

    def _show_events(self) -> None:
        panels = self.query(RunPanel)
        if self._events and panels:
            events = [self._events.popleft() for _ in range(len(self._events))]
            panels.first().show_events(events)

    # What is done

    @on(OptionList.OptionSelected)
    async def _select(self, event: OptionList.OptionSelected) -> None:
        await self._show(str(event.option.id))

    @on(Button.Pressed)
    async def _press(self, event: Button.Pressed) -> None:
        await self.run_action({"run": "run", "next": "next", "edit": "edit", "stop": "stop"}[str(event.button.id)])

    async def action_next(self) -> None:
        await self._show(STEP_IDS[min(STEP_IDS.index(self.view) + 1, len(STEP_IDS) - 1)])

    async def action_back(self) -> None:
        await self._show(STEP_IDS[max(STEP_IDS.index(self.view) - 1, 0)])

    async def action_edit(self) -> None:
        if self._at_work != self.view:
            await self._show(self.view, edit=True)

    async def action_run(self) -> None:
        """Take over the form's answers and run the step in view."""
        form = self.query("#form")
        if self._at_work is not None or self.session.read_only or not form:
            return
        try:
            self.session.answer(self.view, form.first(QuestionForm).values)
        except CalmtuneError as error:
            form.first(QuestionForm).show_error(str(error))
            return
        status = self.session.status(self.view)
        if status.state == "blocked" or status.done:
            await self._show(self.view)
            return
        self._at_work = self.view
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
        self._cancel = lambda message: loop.call_soon_threadsafe(task.cancel, message) and None
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

    @on(Worker.StateChanged)
    async def _worker_changed(self, event: Worker.StateChanged) -> None:
        if event.state is WorkerState.ERROR:
            self.post_message(
                self.StepEnded(self._at_work or self.view, f"a mistake in calmtune: {event.worker.error!r}")
            )

    def action_stop(self) -> None:
        """End the running step and its job."""
        if self._cancel is not None:
            self._cancel("stop")

    def action_leave(self) -> None:
        """Back to the sessions; a job that runs goes on without the app."""
        self.leave_running()
        self.dismiss(None)

    def leave_running(self) -> None:
        if self._cancel is not None:
            self._cancel(LEAVE)
            for thread in threading.enumerate():
                if thread.name.startswith("asyncio"):
                    thread.join(timeout=1)
        self.session.close()
