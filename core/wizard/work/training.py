"""A fine-tuning as a job, and what is kept of it."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from core.errors import StepFailed, UsageError
from core.training.archive import ARCHIVE, write_archive
from core.training.base_models import Found, find
from core.training.bundle import MANIFEST, PREDICTIONS, ModelArtifact, training_requirements
from core.training.checksums import checksum
from core.training.diagnosis import Diagnosis, diagnose
from core.training.metrics import Curves, MetricsFile
from core.training.plan import SPINS
from core.training.planner import Plan
from core.wizard import quotes
from core.wizard.base_model import place_base
from core.wizard.events import Log, Metric, Notice, Progress
from core.wizard.jobs import Launched
from core.wizard.model_card import model_card, write_card
from core.wizard.step import Context, Outputs
from core.wizard.steps.training import METRICS, TrainingAnswers
from core.wizard.training_need import TrainingNeed, need_of_step, together_command
from core.wizard.training_plan import FILE as PLAN
from core.wizard.training_plan import (
    chosen_settings,
    machine_of,
    make_plan,
    this_machine,
    with_price,
    write_plan,
)
from core.wizard.work import curve, pregate
from provisioning.job import Job
from provisioning.place_names import LOCAL
from provisioning.python import python_command


def foretell(context: Context) -> str:
    """The plan in words."""
    dataset = context.upstream["dataset"]
    return quotes.foretell(context, context.answers, [dataset.path("train_rows")], dataset.path("val_rows"))


async def run(context: Context) -> Outputs:
    dataset = context.upstream["dataset"]
    summary, diagnosis, curves = await train(
        context, context.answers, dataset.path("train_rows"), dataset.path("val_rows")
    )
    summary["answers"] = context.answers.model_dump(mode="json")
    artifact = ModelArtifact.in_folder(context.folder)
    card = write_card(model_card(artifact.read_manifest(), dataset.outputs.summary), context.folder, artifact.folder)
    files = {**left_files(artifact), "metrics": METRICS, "archive": ARCHIVE, "card": card}
    may_be = {"loss_plot": "loss.png", "loss_plot_svg": "loss.svg", "predictions": PREDICTIONS, "plan": PLAN}
    files |= {name: file for name, file in may_be.items() if (context.folder / file).is_file()}
    rolled_back = curve.rollback_of(diagnosis, curves, summary["chosen_step"], summary["steps"])
    if told := curve.warning(diagnosis, rolled_back):
        context.emit(told)
    gates = [curve.gate(diagnosis, rolled_back)]
    if "predictions" in files:
        scores = pregate.score(context.folder / PREDICTIONS, context.shared, dataset)
        summary["command_scores"] = scores.facts
        gates.append(pregate.gate(scores, context.answers.command_match_min))
    return Outputs(summary, files, gates, digest=artifact.digest)


def left_files(artifact: ModelArtifact) -> dict[str, str]:
    """Outputs of a training: "model" is the folder that is served, "adapter" there when training made one."""
    adapter = {"adapter": "adapter"} if "adapter" in artifact.read_manifest()["folders"] else {}
    return {"model": artifact.folder.name, "manifest": MANIFEST, **adapter}


async def train(
    context: Context, answers: TrainingAnswers, rows: Path, validation: Path | None
) -> tuple[dict[str, Any], Diagnosis, Curves]:
    """Train as `answers` say; leaves plan.json, adapter/ (unless all weights are trained), model/ (unless the adapter alone is wanted),
    manifest.json, metrics.jsonl, training.pyz and loss.png in the step's folder, and with validation rows predictions.jsonl.

    Raises UsageError for a method that does not fit the machine, ProviderError when the base model cannot be had, and what a failed job
    raises.
    """
    needed = await need_of_step(context, answers, rows, validation)
    answers = needed.answers
    base = await place_base(
        context, answers.base_model, answers.machine, answers.python, training_requirements(), 60 * answers.limit_minutes,
        need=needed.resources,
    )  # fmt: skip
    found = find(base.folder if answers.machine == LOCAL else answers.base_model)
    settings = chosen_settings(answers, context.shared.seed, found).settings
    planned = await _plan(context, needed, found, rows, validation)
    has_validation = validation is not None and validation.stat().st_size > 0
    config = {
        "name": answers.base_model, "artifact": answers.artifact_kind, "settings": asdict(settings),
        **({"plan": planned.way} if planned is not None else {}),
    }  # fmt: skip
    archive = context.folder / ARCHIVE
    await asyncio.to_thread(write_archive, archive, config, rows, validation if has_validation else None)
    together = together_command(answers)
    start = python_command(
        answers.machine, answers.python, training_requirements(), "python", *together.command, ARCHIVE, base.folder
    )  # fmt: skip
    job = Job(
        "train",
        start.command,
        files={**start.files, **together.files, **base.files, ARCHIVE: archive},
        environment={"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "GOMP_SPINCOUNT": SPINS},
        resources=needed.resources,
        limit_seconds=60 * answers.limit_minutes,
    )
    curves, steps = Curves(), None
    with MetricsFile(context.folder / METRICS) as metrics:

        def on_event(event: dict[str, Any]) -> None:
            nonlocal steps
            if event.get("type") == "metric":
                curves.add(event)
                metrics.add(event["step"], event["values"])
                context.emit(Metric(event["step"], event["values"]))
            elif event.get("type") == "progress":
                steps = event["total"]
                context.emit(
                    Progress(event["done"], event["total"], event["unit"], event.get("eta_seconds"), "training")
                )
            elif event.get("type") == "log":
                context.emit(Log(event["line"]))
            elif event.get("type") == "diagnosis":
                level: Literal["info", "warning"] = "info" if event["good"] else "warning"
                context.emit(Notice(level, f"{event['state']}: {event['sentence']}"))

        trained = await context.jobs.run(job, on_event, answers.machine, ending={"CALMTUNE_FINISH": "1"})
    await context.jobs.fetch(trained, [MANIFEST], context.folder)
    artifact = ModelArtifact.in_folder(context.folder)
    manifest = artifact.read_manifest()
    # The archive too: a job that is adopted may have been started with another plan.
    left = [*manifest["folders"], ARCHIVE, *([PREDICTIONS] if has_validation else [])]
    await context.jobs.fetch(trained, left, context.folder)
    for picture in ("loss.png", "loss.svg"):
        await _fetch_if_there(context, trained, picture)
    diagnosis = diagnose(curves, planned=steps)
    chosen = manifest["chosen"]
    with rows.open(encoding="utf-8") as file:
        count = sum(1 for _ in file)
    return {
        "base_model": answers.base_model,
        "artifact": manifest["artifact"],
        "rows": count,
        "steps": manifest["steps"],
        "chosen_step": chosen["step"],
        "chosen_because": chosen["why"],
        "command_match": chosen.get("exact_match"),
        "train_loss": curves.train[-1][1] if curves.train else None,
        "validation_loss": chosen.get("loss"),
        "best_validation": curves.best,
        "archive": await asyncio.to_thread(checksum, archive),
        "unique_token_ratio": round(manifest["unique_token_ratio"], 2),
        "settings": asdict(settings),
        "diagnosis": str(diagnosis),
    }, diagnosis, curves


async def _plan(
    context: Context, needed: TrainingNeed, found: Found, rows: Path, validation: Path | None
) -> Plan | None:
    """Plan the run on the machine that trains and leave that in the step's folder; tell what was not known before."""
    answers = needed.answers
    place = None if answers.machine == LOCAL else context.jobs.target(answers.machine)
    machine = this_machine() if place is None else await asyncio.to_thread(machine_of, place) or needed.least
    if place is not None:
        answers = await asyncio.to_thread(with_price, answers, place)
    made = await asyncio.to_thread(make_plan, answers, context.shared.seed, found, [rows], validation, machine)
    if made is None:
        return None
    write_plan(made, context.folder)
    if made.problem and answers.method != "auto":
        raise UsageError(f"training.method {answers.method}: {made.problem}")
    if answers.machine != LOCAL or made.problem:
        context.emit(Notice("warning" if made.problem else "info", f"{answers.machine}: {made.sentence}"))
    return made


async def _fetch_if_there(context: Context, job: Launched, path: str) -> None:
    try:
        await context.jobs.fetch(job, [path], context.folder)
    except StepFailed:
        context.emit(Log(f"{path} was not made (matplotlib is not installed where training ran)"))
