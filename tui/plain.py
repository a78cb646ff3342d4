"""The recipe in plain prompts: each step is asked about, summed up, run, and told about."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from core.assistant.project import load_assistant
from core.errors import CalmtuneError, GateFailed, UsageError
from core.wizard.answers import SESSION, questions
from core.wizard.consequences import consequences, in_words
from core.wizard.estimate import spending
from core.wizard.recipe import STEP_IDS, step
from core.wizard.run import run_step
from core.wizard.session import Session, StepStatus
from tui.headless import Narrator
from tui.opening import show_statuses, wind_up
from tui.output import narrate
from tui.plain_questions import BACK, HOW, Way, ask_section, read_line, shown, yes_or_no


def walk(session: Session, answers: dict[str, dict[str, Any]], until: str, force: Collection[str] = ()) -> None:
    """From the first question to the last step, and back wherever somebody goes back.

    `answers` are those given beforehand. Each answer is in the session as soon as it is given. Raises KeyboardInterrupt on Ctrl-C, and
    what kept a step from passing when it is left at that.
    """
    sys.stdin.reconfigure(errors="replace")  # type: ignore[union-attr]
    narrate(f"Session {session.id}. Seven steps; each is asked about, summed up, and run when you say so.\n{HOW}")
    if session.notice:
        narrate(session.notice)
    try:
        _Walk(session, answers, until, set(force)).go()
    finally:
        wind_up(session)
        narrate(f"`calmtune run --plain --session {session.id}` goes on where you are.")
    show_statuses(session, as_json=False)


class _Walk:
    def __init__(self, session: Session, answers: dict[str, dict[str, Any]], until: str, force: set[str]) -> None:
        self._session, self._answers, self._force = session, answers, force
        self._sections = (SESSION, *STEP_IDS[: STEP_IDS.index(until) + 1])
        self._narrator = Narrator()

    def go(self) -> None:
        at, backwards = 0, False
        while at < len(self._sections):
            section = self._sections[at]
            way = self._session_questions(backwards) if section == SESSION else self._step(section, backwards)
            if way is Way.BACK and at == 0:
                narrate("This is the first question; there is nothing before it.")
                continue
            backwards = way is Way.BACK
            at += -1 if backwards else 1

    def _session_questions(self, backwards: bool) -> Way:
        """Asked until a step was begun, later by going back to them."""
        if not backwards and self._session.journal.runs() and not self._differs(SESSION):
            narrate(f"\nThe assistant: {self._given(SESSION)['assistant']}")
            return Way.ON
        narrate("\nThe assistant")
        return ask_section(SESSION, self._given(SESSION), self._keep_session, backwards)

    def _keep_session(self, changed: Mapping[str, Any]) -> None:
        """A folder that holds no assistant is told of at once, as in the app, not ten questions later."""
        named = changed.get("assistant")
        if named and named != self._given(SESSION).get("assistant"):
            load_assistant(Path(named))
        self._keep(SESSION, changed)

    def _step(self, id: str, backwards: bool) -> Way:
        """Ask, sum up and run until the step is passed or left."""
        status = self._session.status(id)
        if status.state == "fresh" and id not in self._force and not backwards and not self._differs(id):
            self._narrator.on_step(status)
            return Way.ON
        it = step(id)
        narrate(f"\nStep {STEP_IDS.index(id) + 1} of {len(STEP_IDS)}. {it.title}. {it.purpose}")
        while True:
            if ask_section(id, self._given(id), lambda changed: self._keep(id, changed), backwards) is Way.BACK:
                return Way.BACK
            self._keep(id, self._given(id))
            status = self._session.status(id)
            if status.state == "fresh" and id not in self._force:
                self._narrator.on_step(status)
                return Way.ON
            if not self._agreed(status):
                backwards = True
                continue
            if self._ran(id):
                return Way.ON
            backwards = True

    def _agreed(self, status: StepStatus) -> bool:
        """The summary; True to run, False to go back. Raises UsageError for a no."""
        it, given = step(status.step), self._given(status.step)
        narrate(f"\nSummary of {it.title}")
        for question in questions(status.step):
            if not question.advanced or question.field in given:
                narrate(f"  {question.title}: {shown(question, given.get(question.field, question.default))}")
        if status.reason:
            narrate(f"  {status.state}: {status.reason}")
        try:
            for what, said in spending(self._session, status.step).items():
                narrate(f"  {what}: {said}")
        except CalmtuneError as error:
            narrate(f"  {error}")
        while True:
            typed = read_line("Run it now? yes, no to stop here, or < to go back [yes]:")
            if typed == BACK:
                return False
            answer = yes_or_no(typed or "yes")
            if answer:
                return True
            if answer is False:
                raise UsageError(f"stopped before {it.title}; your answers are kept")

    def _ran(self, id: str) -> bool:
        """Run a step and tell what came of it; True when it passed. Raises what kept it from passing when that is to be left so."""
        status = self._session.status(id)
        if id in self._force or status.state == "gate failed":
            self._session.forget(status)
            self._force.discard(id)
            status = self._session.status(id)
        self._narrator.on_step(status)
        try:
            status = asyncio.run(run_step(self._session, id, self._narrator.on_event))
            self._narrator.on_step(status)
            if status.state != "gate failed":
                self._tell_next(id)
                return True
            problem: CalmtuneError = GateFailed(f"{step(id).title}: {status.reason}")
        except CalmtuneError as error:
            problem = error
        narrate(f"\n{problem}")
        if read_line("Type < to change answers and try again, or Enter to stop here:") != BACK:
            raise problem
        return False

    def _tell_next(self, id: str) -> None:
        following = self._sections[self._sections.index(id) + 1 :]
        if following:
            narrate(f"Passed. Next is {step(following[0]).title}.")
        else:
            narrate("Passed. That was the last step asked for.")

    def _given(self, section: str) -> dict[str, Any]:
        return self._answers.setdefault(section, {})

    def _differs(self, id: str) -> bool:
        return self._given(id) != self._session.answers.get(id, {})

    def _keep(self, section: str, changed: Any) -> None:
        """Take over the answers of a section, and say which finished steps that undoes. Raises UsageError."""
        if changed == self._session.answers.get(section, {}):
            return
        titles = {id: step(id).title for id in STEP_IDS}
        undone = in_words(consequences(self._session, section, changed), titles) if self._session.answers.get(SESSION) else ""
        self._session.answer(section, changed)
        if undone:
            narrate(undone)
