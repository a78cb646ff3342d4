"""What the walk shows, as a function of the session, the step in view and the step at work."""

from __future__ import annotations

from dataclasses import dataclass

from core.wizard import recipe
from core.wizard.recipe import REVIEWED, STEP_IDS
from core.wizard.session import Session, StepStatus
from provisioning.place_names import LOCAL
from tui.results.choose import status_to_show
from tui.running import RunningStep
from tui.widgets.stepper import StepLine

_FORESEEN = ("deployment", "connection")
"""Steps that write what others read."""


@dataclass(frozen=True)
class Look:
    """One step in view among all of them."""

    step: str
    number: int
    """From 1."""
    title: str
    purpose: str
    status: StepStatus
    shown: StepStatus | None
    """What a result panel can show; None where the questions are shown."""
    running: bool
    """True when this step is at work in this app."""
    lines: tuple[StepLine, ...]
    done: int
    """How many steps are fresh."""
    place: str
    """Where its jobs run, in words."""
    actions: frozenset[str]
    """Actions that mean something now."""


def look(session: Session, view: str, at_work: RunningStep | None, editing: bool) -> Look:
    """Raises CalmtuneError when the session cannot be read."""
    statuses = {status.step: status for status in session.statuses()}
    status, it = statuses[view], recipe.step(view)
    running = at_work is not None and at_work.step == view
    outcome = status_to_show(session, status)
    shown = None if editing else outcome
    return Look(
        step=view,
        number=STEP_IDS.index(view) + 1,
        title=it.title,
        purpose=it.purpose,
        status=status,
        shown=shown,
        running=running,
        lines=tuple(line_of(one, at_work) for one in statuses.values()),
        done=sum(one.state == "fresh" for one in statuses.values()),
        place=_place(session, view),
        actions=frozenset(_actions(session, status, outcome, at_work, editing)),
    )


def line_of(status: StepStatus, at_work: RunningStep | None) -> StepLine:
    """A step as the list of steps shows it, with how far it is while it runs here."""
    if at_work is not None and at_work.step == status.step:
        return running_line(at_work)
    return StepLine(status.step, recipe.step(status.step).title, status.state, status.reason)


def running_line(at_work: RunningStep) -> StepLine:
    """The step at work, without a look into the session."""
    told = at_work.progress
    how_far = f"{told.done:g} of {told.total:g} {told.unit}" if told and told.total else ""
    return StepLine(at_work.step, recipe.step(at_work.step).title, "running", how_far)


def _actions(
    session: Session, status: StepStatus, outcome: StepStatus | None, at_work: RunningStep | None, editing: bool
) -> set[str]:
    view = status.step
    running = at_work is not None and at_work.step == view
    result = not running and outcome is not None and not editing
    form = not running and not result
    found = {
        "stop": at_work is not None,
        "run": at_work is None and not session.read_only and status.state != "blocked" and (editing or not status.done),
        "next": view != STEP_IDS[-1],
        "back": view != STEP_IDS[0],
        "edit": result,
        "result": form and outcome is not None,
        "review": result and view == REVIEWED,
        "machines": view == "training" and form and not session.read_only,
        "preview": view in _FORESEEN and form,
        "chat": view in ("deployment", "connection") and (status.done or status.state == "stale") and not running,
        "report": view in ("evaluation", "production") and status.done,
    }
    return {action for action, means_something in found.items() if means_something}


def _place(session: Session, view: str) -> str:
    chosen = session.answers.get("training" if view == "production" else view, {}).get("machine", LOCAL)
    return "this machine" if chosen == LOCAL else str(chosen)
