"""The machines that a training asks for where they are rented: GPUs that hold it, by its plan."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from core.errors import StepFailed, UsageError
from core.training.base_models import find
from core.training.hardware import Hardware, named_gpu, together
from core.wizard.events import Log
from core.wizard.needs import need_of
from core.wizard.step import Context
from core.wizard.steps.training import TrainingAnswers
from core.wizard.training_plan import PlanOn, chosen_settings, planner
from provisioning import member
from provisioning.job import Resources
from provisioning.place_names import LOCAL, SKY
from provisioning.python import PythonCommand
from provisioning.sky import SkyTarget
from provisioning.target import Target

MEMBER = "member.py"
_COUNTS = (1, 2, 4, 8)
"""GPUs of one machine, as clouds rent them."""


@dataclass(frozen=True)
class TrainingNeed:
    """What a training needs at a place."""

    answers: TrainingAnswers
    """With the number of GPUs, where that follows from the plan."""
    resources: Resources
    reason: str = ""
    """Why these GPUs, where they are chosen."""
    least: Hardware | None = None
    """The smallest GPU that may be rented: what a plan is for as long as no machine is."""


def need_to_train(target: Target, answers: TrainingAnswers, plan_on: PlanOn | None) -> TrainingNeed:
    """The machine to train on. Where machines are rented, only with those of the owner's GPU types that hold the training; where no number
    of GPUs was answered and one of no type holds it, with the fewest that do.

    `plan_on` is None where the rows are not known; then all types will do. Raises StepFailed when none holds it.
    """
    need = need_of(answers.gpus_needed, answers.nodes)
    if not need.gpus or plan_on is None or not isinstance(target, SkyTarget):
        return TrainingNeed(answers, need)
    types = target.terms.gpu_types
    counts = [need.gpus] if answers.gpus is not None else [count for count in _COUNTS if count >= need.gpus]
    for count in counts:
        fitting = _fitting(types, count, answers.nodes, plan_on)
        if fitting:
            break
    else:
        largest = max(types, key=lambda name: named_gpu(name).memory)
        said = plan_on(together(named_gpu(largest), counts[-1], answers.nodes), None).problem
        raise StepFailed(f"no GPU of {', '.join(types)} holds this training, the largest neither: {said} Name others in session.cloud_gpus")
    chosen = replace(need_of(count, answers.nodes), gpu_counts=tuple((name, count) for name in fitting))
    left = [name for name in types if name not in fitting]
    reason = f"{', '.join(left)} left out, which would not hold the training of {answers.base_model}" if left else ""
    if count > need.gpus:
        reason = f"one GPU of no type holds the training of {answers.base_model}, {count} share it out" + (f"; {reason}" if reason else "")
    least = min(map(named_gpu, fitting), key=lambda gpu: gpu.memory or math.inf)
    return TrainingNeed(answers.model_copy(update={"gpus": count}), chosen, reason, least)


def _fitting(types: Sequence[str], count: int, nodes: int, plan_on: PlanOn) -> list[str]:
    """Types whose GPUs, so many of each machine, hold a training, or may: the memory of some is not known."""
    return [name for name in types if plan_on(together(named_gpu(name), count, nodes), None).fits is not False]


def together_command(answers: TrainingAnswers) -> PythonCommand:
    """What starts the processes that train together; nothing for one."""
    each = str(max(1, answers.gpus_needed))
    if answers.nodes > 1:
        return PythonCommand((MEMBER, str(answers.nodes), each), {MEMBER: Path(member.__file__)})
    return PythonCommand(("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", each) if answers.processes > 1 else (), {})


async def need_of_step(context: Context, answers: TrainingAnswers, rows: Path, validation: Path | None) -> TrainingNeed:
    """The machine to train on, chosen before one is rented. Raises UsageError for rows of a step that cannot be shared out evenly,
    StepFailed when another machine lacks the GPUs, and as `need_to_train`."""
    found, seed = find(answers.base_model), context.shared.seed
    needed = TrainingNeed(answers, need_of(answers.gpus_needed, answers.nodes))
    if answers.machine.partition(":")[0] == SKY:
        plan_on = await asyncio.to_thread(planner, answers, seed, found, [rows], validation)
        needed = await asyncio.to_thread(need_to_train, context.jobs.target(answers.machine), answers, plan_on)
    per_step, processes = chosen_settings(answers, seed, found).settings.rows_per_step, needed.answers.processes
    if per_step % processes:
        raise UsageError(
            f"training.rows_per_step: {per_step} rows a step cannot be shared out among {processes} processes; answer a multiple of them"
        )
    if needed.reason:
        context.emit(Log(f"{needed.resources.wanted} to rent: {needed.reason}"))
    await _require_gpus(needed.answers, needed.resources, context)
    return needed


async def _require_gpus(answers: TrainingAnswers, need: Resources, context: Context) -> None:
    """Look for the GPUs before anything large is sent. Raises StepFailed when another machine lacks them."""
    if answers.machine == LOCAL or not answers.gpus_needed:
        return
    if not answers.machine.startswith(SKY):
        need = Resources(gpus=answers.gpus_needed, memory_gb=0, disk_gb=0)
    offers = await asyncio.to_thread(context.jobs.target(answers.machine).offers, need)
    if not any(offer.fits for offer in offers):
        reason = offers[0].reason if offers else "it has none such"
        raise StepFailed(f"{answers.machine} is not fit for {answers.kind}: {reason}")
