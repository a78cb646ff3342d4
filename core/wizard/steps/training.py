"""Step 3: fine-tune a base model on the training rows."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from core.errors import ProviderError, StepFailed
from core.training import base_model
from core.training.base_model import DEMO_MODEL, cache_folder
from core.training.bundle import ModelArtifact, training_program
from core.training.diagnosis import Diagnosis, diagnose
from core.training.metrics import Curves
from core.training.plan import settings_of
from core.wizard.events import Log, Metric, Progress
from core.wizard.shared import SharedAnswers
from core.wizard.step import Context, Gate, Outputs
from provisioning.job import Job, Resources

_SPINS = "10000"
"""How long a waiting thread spins. Sleeping at once costs a third of the speed on two cores; libgomp's default of 300,000 makes steps
thirty times slower as soon as another program computes there too."""
_LEFT_BY_THE_JOB = ["model", "adapter", "manifest.json"]


class TrainingAnswers(BaseModel):
    """Base model and how it is trained; what is left empty follows the preset."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=())

    base_model: str = Field(
        DEMO_MODEL, title="Base model", description="Folder of a model, or its name on the hub (safetensors only)."
    )
    preset: Literal["small-cpu", "recipe-2024", "recipe-2025"] = Field(
        "small-cpu",
        title="Preset",
        description="small-cpu for some hundred million parameters without a GPU; recipe-2025 for 8B on an A100.",
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
    limit_minutes: float = Field(
        720, gt=0, title="Time limit", description="Training is stopped after this long.",
        json_schema_extra={"unit": "minutes", "cosmetic": True, "advanced": True},
    )  # fmt: skip
    python: str = Field(
        "", title="Python", description="Interpreter with torch, transformers, trl and peft; empty for the one calmtune runs in.",
        json_schema_extra={"cosmetic": True, "advanced": True},
    )  # fmt: skip


class TrainingStep:
    """Runs the training program as a job and keeps the model."""

    id: ClassVar[str] = "training"
    version: ClassVar[int] = 1
    title: ClassVar[str] = "Fine-tuning"
    purpose: ClassVar[str] = "Fine-tune a small base model on the training rows and watch its loss."
    upstream: ClassVar[tuple[str, ...]] = ("dataset",)
    shared: ClassVar[tuple[str, ...]] = ("seed",)
    answers: ClassVar[type[BaseModel]] = TrainingAnswers

    def reads(self, shared: SharedAnswers, answers: TrainingAnswers) -> Sequence[Path]:
        return ()

    async def run(self, context: Context) -> Outputs:
        dataset = context.upstream["dataset"]
        summary, diagnosis = await train(context, context.answers, dataset.path("train_rows"), dataset.path("val_rows"))
        summary["answers"] = context.answers.model_dump(mode="json")
        artifact = ModelArtifact(context.folder / "model", context.folder / "manifest.json")
        files = {"model": "model", "adapter": "adapter", "manifest": "manifest.json", "metrics": "metrics.jsonl"}
        if (context.folder / "loss.png").is_file():
            files["loss_plot"] = "loss.png"
        gate = Gate(
            "curve healthy",
            "neither diverged nor overfitted",
            f"{diagnosis.state}: {diagnosis.sentence}",
            diagnosis.good,
        )
        return Outputs(summary, files, [gate], digest=artifact.digest)


async def train(
    context: Context, answers: TrainingAnswers, rows: Path, validation: Path | None
) -> tuple[dict[str, Any], Diagnosis]:
    """Train as `answers` say; leaves model/, adapter/, manifest.json, metrics.jsonl and loss.png in the step's folder.

    Raises ProviderError when the base model cannot be had, and what a failed job raises.
    """
    python = answers.python or sys.executable
    base = await _resolve(answers.base_model, python, context)
    settings = settings_of(
        answers.preset,
        epochs=answers.epochs,
        learning_rate=answers.learning_rate,
        lora_rank=answers.lora_rank,
        rows_per_step=answers.rows_per_step,
        dtype=answers.dtype,
        seed=context.shared.seed,
    )
    has_validation = validation is not None and validation.stat().st_size > 0
    config = {
        "model": str(base), "train": "train.jsonl", "val": "val.jsonl" if has_validation else None, "settings": asdict(settings),
    }  # fmt: skip
    (context.folder / "config.json").write_text(json.dumps(config, indent=1), encoding="utf-8")
    files = {**training_program(), "config.json": context.folder / "config.json", "train.jsonl": rows}
    if has_validation and validation is not None:
        files["val.jsonl"] = validation
    job = Job(
        "train",
        (python, "program.py", "config.json"),
        files=files,
        environment={"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "GOMP_SPINCOUNT": _SPINS},
        resources=Resources(cpus=2, memory_gb=8),
        limit_seconds=60 * answers.limit_minutes,
    )
    curves = Curves()
    with (context.folder / "metrics.jsonl").open("w", encoding="utf-8") as metrics:

        def on_event(event: dict[str, Any]) -> None:
            if event.get("type") == "metric":
                curves.add(event)
                metrics.write(json.dumps({"step": event["step"], **event["values"]}) + "\n")
                context.emit(Metric(event["step"], event["values"]))
            elif event.get("type") == "progress":
                context.emit(
                    Progress(event["done"], event["total"], event["unit"], event.get("eta_seconds"), "training")
                )
            elif event.get("type") == "log":
                context.emit(Log(event["line"]))

        status = await context.jobs.run(job, on_event)
    await context.jobs.fetch(status.id, _LEFT_BY_THE_JOB, context.folder)
    await _fetch_if_there(context, status.id, "loss.png")
    diagnosis = diagnose(curves)
    manifest = ModelArtifact(context.folder / "model", context.folder / "manifest.json").read_manifest()
    return {
        "base_model": answers.base_model,
        "rows": sum(1 for _ in rows.open(encoding="utf-8")),
        "steps": manifest["steps"],
        "train_loss": curves.train[-1][1] if curves.train else None,
        "validation_loss": curves.validation[-1][1] if curves.validation else None,
        "best_validation": curves.best,
        "unique_token_ratio": round(manifest["unique_token_ratio"], 2),
        "settings": asdict(settings),
        "diagnosis": f"{diagnosis.state}: {diagnosis.sentence}",
    }, diagnosis


async def _resolve(name: str, python: str, context: Context) -> Path:
    """The base model's folder, found by a child process so that nothing heavy is imported here."""
    context.emit(Log(f"looking for the base model {name}"))
    if shutil.which(python) is None:
        raise StepFailed(f"there is no Python at {python}")
    child = await asyncio.create_subprocess_exec(
        python,
        base_model.__file__,
        name,
        str(cache_folder()),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await child.communicate()
    if child.returncode:
        reason = err.decode(errors="replace").strip().splitlines()
        raise ProviderError(reason[-1] if reason else f"the base model {name} cannot be had")
    return Path(out.decode().strip().splitlines()[-1])


async def _fetch_if_there(context: Context, id: str, path: str) -> None:
    try:
        await context.jobs.fetch(id, [path], context.folder)
    except StepFailed:
        context.emit(Log(f"{path} was not made (matplotlib is not installed where training ran)"))


STEP = TrainingStep()
