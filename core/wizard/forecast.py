"""What a run would do, told before it does anything."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal

from core.wizard.estimate import spending
from core.wizard.recipe import STEP_IDS
from core.wizard.session import Answers, Session, State, StepStatus


@dataclass(frozen=True)
class Forecast:
    """What would become of one step."""

    step: str
    state: State
    would: Literal["run", "perhaps", "keep", "stop", "not run"]
    """`perhaps`: only if a step above comes out otherwise than before. `stop`: its gate does not hold, and the run ends there."""
    why: str
    spends: Mapping[str, str]
    """What is known of it, in words, by what it is spent on."""
    last_seconds: float | None
    """How long its last finished run took; None without one."""


def forecast(session: Session, answers: Answers, until: str = STEP_IDS[-1], force: Collection[str] = ()) -> list[Forecast]:
    """What a run of `session` under `answers` would do with each step, in order. Changes nothing.

    Raises CalmtuneError when the answers or the assistant are wrong.
    """
    found: list[Forecast] = []
    took = {run.step: run.ended - run.began for run in reversed(session.journal.runs()) if run.state == "done" and run.ended}
    above: StepStatus | None = None
    """The first step that would run."""
    stopped = ""
    for status in session.statuses(answers):
        id = status.step
        would, why = _would(status, above, id in force, id in took)
        if stopped:
            would, why = "not run", stopped
        elif would == "stop":
            stopped = f"{id} ends the run"
        spends: Mapping[str, str] = {}
        if would == "run" and above is None:
            spends, above = spending(session, id, answers=answers), status
        found.append(Forecast(id, status.state, would, why, spends, took.get(id)))
        if id == until and not stopped:
            stopped = f"after {until}, where it ends"
    return found


def _would(
    status: StepStatus, above: StepStatus | None, forced: bool, ran: bool
) -> tuple[Literal["run", "perhaps", "keep", "stop", "not run"], str]:
    if forced:
        return "run", "asked for with --force"
    if status.state == "gate failed" and above is None:
        return "stop", f"its gate does not hold: {status.reason}"
    if above is not None and ran:
        return "perhaps", f"again if {above.step} comes out otherwise than before"
    if status.state == "fresh":
        return "keep", "done, and nothing it depends on has changed"
    first = {"ready": "never ran", "interrupted": status.reason, "running": "is under way"}
    if above is not None or status.state == "blocked":
        return "run", "never ran"
    if status.state == "failed":
        return "run", f"failed: {status.reason}"
    return "run", first.get(status.state, status.reason)
