"""Step 3: fine-tune a base model on the training rows."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from core.errors import StepFailed, UsageError
from core.training.archive import ARCHIVE, write_archive
from core.training.base_model import DEMO_MODEL
from core.training.base_models import Found, find, parameters_of
from core.training.bundle import MANIFEST, PREDICTIONS, ModelArtifact, training_requirements
from core.training.checksums import checksum
from core.training.diagnosis import Diagnosis, diagnose
from core.training.effort import SMALL
from core.training.metrics import Curves
from core.training.plan import SPINS
from core.training.planner import Plan
from core.wizard.base_model import place_base
from core.wizard.events import Log, Metric, Notice, Progress
from core.wizard.jobs import Launched
from core.wizard.model_card import model_card, write_card
from core.wizard.quotes import foretell
from core.wizard.shared import SharedAnswers
from core.wizard.step import Context, Outputs
from core.wizard.steps import curve, pregate
from core.wizard.training_need import need_of_step, together_command
from core.wizard.training_plan import FILE as PLAN
from core.wizard.training_plan import (
    PRESET_OFF,
    chosen_settings,
    machine_of,
    make_plan,
    this_machine,
    with_price,
    write_plan,
)
from provisioning.job import Job
from provisioning.places import LOCAL, PLACE_PATTERN, SKY
from provisioning.python import python_command
from provisioning.sky_offers import cloud_of

METRICS = "metrics.jsonl"
"""What the run measured, one JSON object a line: step, and values by name."""


class TrainingAnswers(BaseModel):
    """Base model and how it is trained; what is left empty follows the preset, and without one the effort."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=())

    base_model: str = Field(
        DEMO_MODEL, title="Base model", description="Folder of a model, or its name on the hub (safetensors only)."
    )
    effort: Literal["draft", "standard", "thorough"] = Field(
        "standard",
        title="Effort",
        description="How hard training tries: epochs, rank, learning rate and validations follow from it and from the model's size. "
        "draft to see whether all is well, thorough when the last per cent counts.",
    )
    preset: Literal["none", "small-cpu", "recipe-2024", "recipe-2025"] = Field(
        "none",
        title="Preset",
        description="Fixed settings instead of the effort's: small-cpu for some hundred million parameters without a GPU; recipe-2025 "
        "for 8B on an A100.",
        json_schema_extra={"advanced": True},
    )
    method: Literal["auto", "lora", "qlora", "full"] = Field(
        "auto",
        title="Method",
        description="What is trained: lora an adapter, qlora an adapter to weights in 4 bits (needs a GPU), full all weights, which takes "
        "16 to 18 bytes of memory each. auto is lora, or qlora where memory needs it.",
        json_schema_extra={"advanced": True},
    )
    epochs: float | None = Field(None, gt=0, le=100, title="Epochs", description="Passes over the rows.")
    learning_rate: float | None = Field(None, gt=0, lt=1, title="Learning rate", description="Highest learning rate.")
    lora_rank: int | None = Field(None, ge=1, le=512, title="LoRA rank", description="Rank of the adapter.")
    rows_per_step: int | None = Field(
        None,
        ge=1,
        le=1024,
        title="Rows a step",
        description="Rows of one optimizer step.",
        json_schema_extra={"unit": "rows"},
    )
    dtype: Literal["auto", "float32", "bfloat16"] = Field(
        "auto",
        title="Precision",
        description="auto takes what this machine computes faster.",
        json_schema_extra={"advanced": True},
    )
    artifact: Literal["auto", "merged", "adapter"] = Field(
        "auto",
        title="Artifact",
        description="merged: the whole model, ready for any server. adapter: only what training added, some hundredth of it; it needs the "
        "base model wherever it is served. auto: merged when training runs on this machine, adapter when it must travel from another.",
        json_schema_extra={"advanced": True},
    )
    command_match_min: float = Field(
        0.5,
        ge=0,
        le=1,
        title="Rows written exactly",
        description="Share of validation rows for which the model must write exactly the expected commands before tests are run with it: "
        "a model that gets half of its messages wrong passes hardly any test.",
        json_schema_extra={"advanced": True},
    )
    limit_minutes: float = Field(
        720, gt=0, title="Time limit", description="Training is stopped after this long.",
        json_schema_extra={"unit": "minutes", "cosmetic": True, "advanced": True},
    )  # fmt: skip
    machine: str = Field(
        LOCAL,
        pattern=PLACE_PATTERN,
        title="Machine",
        description="local for this one; ssh: and a host of the SSH configuration (ssh:gpu, ssh:me@gpu.example); sky for the cheapest "
        "machine that SkyPilot can rent, sky:aws and the like for one cloud's.",
        json_schema_extra={"cosmetic": True},
    )
    gpus: int | None = Field(
        None,
        ge=0,
        le=8,
        title="GPUs",
        description="How many train together, which the machine must have: they share out the rows of a step, and weights that one of "
        "them does not hold. Empty asks for one on another machine when the preset is a recipe or the model has half a billion parameters "
        "or more.",
        json_schema_extra={"cosmetic": True, "advanced": True},
    )
    nodes: int = Field(
        1,
        ge=1,
        le=16,
        title="Nodes",
        description="How many machines train together, each with so many GPUs; for machines SkyPilot rents. They share out what GPUs of "
        "one machine do, more slowly, and cost as many times as much an hour.",
        json_schema_extra={"cosmetic": True, "advanced": True},
    )
    machine_usd_per_hour: float | None = Field(
        None,
        ge=0,
        title="Price of the machine",
        description="What an hour of the machine that trains costs you, all nodes together, for the plan. Empty when unknown.",
        json_schema_extra={"unit": "US dollars an hour", "cosmetic": True, "advanced": True},
    )
    python: str = Field(
        "", title="Python", description="Interpreter on the machine with torch, transformers, trl and peft; empty for the one calmtune "
        "runs in, and on another machine for an environment that is made there once.",
        json_schema_extra={"cosmetic": True, "advanced": True},
    )  # fmt: skip

    @field_validator("nodes")
    @classmethod
    def _rented(cls, nodes: int, info: ValidationInfo) -> int:
        machine = str(info.data.get("machine", SKY))
        if nodes > 1 and machine.partition(":")[0] != SKY:
            raise ValueError(f"Several nodes are rented by SkyPilot alone, and training.machine is {machine}; answer sky or sky:aws there")
        if nodes > 1 and cloud_of(machine.partition(":")[2]) == "kubernetes":
            raise ValueError("Further nodes on Kubernetes cannot be reached over SSH; take one node, or another cloud")
        return nodes

    @property
    def processes(self) -> int:
        """That train together."""
        return max(1, self.gpus_needed) * self.nodes

    @property
    def gpus_needed(self) -> int:
        """GPUs of each node without which training must not begin."""
        if self.gpus is not None:
            return self.gpus
        if self.machine == LOCAL:
            return 0
        if self.preset != PRESET_OFF:
            return int(self.preset.startswith("recipe"))
        return int((parameters_of(self.base_model) or 0) >= SMALL)

    @property
    def artifact_kind(self) -> str:
        """merged or adapter; training all weights leaves no adapter."""
        if self.method == "full":
            return "merged"
        if self.artifact != "auto":
            return self.artifact
        return "merged" if self.machine == LOCAL else "adapter"

    @property
    def kind(self) -> str:
        """What is trained, for sentences."""
        return f"training {self.base_model}" if self.preset == PRESET_OFF else f"the preset {self.preset}"


class TrainingStep:
    """Runs the training program as a job and keeps the model."""

    id: ClassVar[str] = "training"
    version: ClassVar[int] = 3
    title: ClassVar[str] = "Fine-tuning"
    purpose: ClassVar[str] = "Fine-tune a small base model on the training rows and watch its loss."
    upstream: ClassVar[tuple[str, ...]] = ("dataset",)
    shared: ClassVar[tuple[str, ...]] = ("seed",)
    answers: ClassVar[type[BaseModel]] = TrainingAnswers

    def reads(self, shared: SharedAnswers, answers: TrainingAnswers) -> Sequence[Path]:
        return ()

    def foretell(self, context: Context) -> str:
        """The plan in words."""
        dataset = context.upstream["dataset"]
        return foretell(context, context.answers, [dataset.path("train_rows")], dataset.path("val_rows"))

    async def run(self, context: Context) -> Outputs:
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
    planned = await _plan(context, answers, found, rows, validation)
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
    with (context.folder / METRICS).open("w", encoding="utf-8") as metrics:

        def on_event(event: dict[str, Any]) -> None:
            nonlocal steps
            if event.get("type") == "metric":
                curves.add(event)
                metrics.write(json.dumps({"step": event["step"], **event["values"]}) + "\n")
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
    context: Context, answers: TrainingAnswers, found: Found, rows: Path, validation: Path | None
) -> Plan | None:
    """Plan the run on the machine that trains and leave that in the step's folder; tell what was not known before."""
    place = None if answers.machine == LOCAL else context.jobs.target(answers.machine)
    machine = this_machine() if place is None else await asyncio.to_thread(machine_of, place)
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


STEP = TrainingStep()
