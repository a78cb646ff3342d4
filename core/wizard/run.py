"""Running steps of a session, for every front."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection

from core.errors import CalmtuneError, GateFailed, Interrupted, StepFailed, UsageError
from core.wizard.answers import SESSION
from core.wizard.estimate import foretold
from core.wizard.events import Notice, StepEvent
from core.wizard.jobs import JobKeeper
from core.wizard.machine_costs import MachineWatch
from core.wizard.recipe import STEP_IDS, step
from core.wizard.session import Session, StepStatus
from core.wizard.spending import SpendingRecord
from core.wizard.step import Context

Emit = Callable[[str, StepEvent], None]
"""emit(step id, event)"""


async def run_step(session: Session, id: str, emit: Emit) -> StepStatus:
    """Run one step under the present answers and return its new status.

    Raises CalmtuneError: UsageError when a step above is missing, StepFailed when the step failed, and what the step raises. A failed gate
    is not an error here; the status tells.
    """
    status = session.status(id)
    if status.state == "blocked":
        raise UsageError(f"{id} cannot run yet: {status.reason}")
    it = step(id)
    folder = session.begin(status)
    assert status.key is not None
    spent = SpendingRecord(session.journal, id, lambda event: emit(id, event))
    context = Context(
        answers=session.model(id),
        shared=session.model(SESSION),
        upstream=session.upstream(it),
        folder=folder,
        emit=spent,
        jobs=JobKeeper(session.journal, session.targets, session.id, id, status.key),
    )
    watch = MachineWatch(session.journal, session.targets, id, session.model(SESSION).cloud_budget_usd)
    try:
        for what, said in (await asyncio.to_thread(foretold, it, context)).items():
            context.emit(Notice("info", f"{what}: {said}"))
        with spent:
            async with watch.watching(context.emit):
                outputs = await it.run(context)
    except (Interrupted, asyncio.CancelledError) as error:
        session.fail(status, str(error), unknown=True)
        raise
    except CalmtuneError as error:
        session.fail(status, str(error))
        raise
    except OSError as error:
        session.fail(status, str(error))
        raise StepFailed(f"{it.title} stopped: {error.strerror or error}{_place(error)}") from error
    finished = session.finish(status, outputs)
    _report(session, context.emit)
    return finished


def _report(session: Session, emit: Callable[[StepEvent], None]) -> None:
    """Write the report anew. Whatever is wrong with it, the step is done: that is told and no error."""
    from core.wizard.reporting import write_report

    try:
        write_report(session)
    except Exception as error:
        emit(Notice("warning", f"the report could not be written ({error}); `calmtune report` tries again"))


async def run_recipe(
    session: Session,
    emit: Emit,
    until: str = STEP_IDS[-1],
    force: Collection[str] = (),
    on_step: Callable[[StepStatus], None] = lambda status: None,
) -> list[StepStatus]:
    """Run every step that is not fresh, in order, up to `until`; `on_step` hears each as it begins and as it is done.

    Raises GateFailed at the first gate that does not hold, StepFailed when what a step reads changed meanwhile, and what `run_step` raises.
    """
    for id in force:
        session.forget(session.status(id))
    for id in STEP_IDS[: STEP_IDS.index(until) + 1]:
        status = session.status(id)
        on_step(status)
        if not status.done:
            status = await run_step(session, id, emit)
            on_step(status)
        if status.state == "stale":
            raise StepFailed(f"{step(id).title}: {status.reason} while it ran; `calmtune resume` runs it again")
        if status.state == "gate failed":
            raise GateFailed(f"{step(id).title}: {status.reason}")
    return session.statuses()


def _place(error: OSError) -> str:
    return f" ({error.filename})" if error.filename else ""
