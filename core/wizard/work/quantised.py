"""A quantised copy of the final model: made by a job where the model was trained, and judged by the same tests before it is deployed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from core.errors import UsageError
from core.training.bundle import ModelArtifact, quantising_program, quantising_requirements
from core.wizard.events import Log
from core.wizard.jobs import log_lines
from core.wizard.model_card import CARD, model_card
from core.wizard.step import Context, Outputs, Upstream
from core.wizard.steps.evaluation import EvaluationAnswers
from core.wizard.steps.training import TrainingAnswers
from core.wizard.work.judging import TestSet, judge, outputs_of
from provisioning.job import Job, Resources
from provisioning.python import environment_command, python_command

FOLDER, MANIFEST = "quantised", "quantised.json"
ROWS_TO_CALIBRATE = 256
"""More bring nothing: llm-compressor's own examples take as many or 512 of general text, and these rows are alike."""
LIMIT_SECONDS = 6 * 3600.0


@dataclass(frozen=True)
class Copy:
    """Which copy is wanted, and where it is made."""

    kind: str
    """int8 or int4."""
    machine: str
    gpus: int = 0
    python: str = ""
    """An interpreter there that has llm-compressor; empty makes an environment."""


def require_whole(kind: str, answers: TrainingAnswers) -> None:
    """Raises UsageError before anything is trained when there will be no whole model to make a copy of."""
    if kind != "none" and answers.artifact_kind == "adapter":
        raise UsageError(
            f"production.quantised {kind}: a quantised copy is made of a merged model, and training leaves an adapter; answer "
            "training.artifact: merged"
        )


async def with_copy(
    context: Context,
    copy: Copy,
    outputs: Outputs,
    rows: Path,
    bars: EvaluationAnswers,
    sets: Sequence[TestSet],
) -> Outputs:
    """The outputs of the step with a copy that was judged: "quantised" is its folder, and its gates stand beside the model's.

    `rows` are what the model was trained on. Raises what a failed job raises.
    """
    artifact = await _quantise(context, copy, context.folder / outputs.files["model"], rows)
    files = {"model": FOLDER, "manifest": MANIFEST}
    alone = bars.model_copy(update={"compare": "none"})  # the strong model was asked about these tests with the model itself
    named = [replace(of, name=f"{copy.kind} {of.name}") for of in sets]
    judged = await judge(context, alone, Upstream(Outputs({}, files), context.folder), context.upstream["dataset"], named)
    found = outputs_of(judged, bars.accept)
    made = _facts(artifact)
    (artifact.folder / CARD).write_text(
        model_card(
            ModelArtifact(context.folder / outputs.files["model"], context.folder / outputs.files["manifest"]).read_manifest(),
            context.upstream["dataset"].outputs.summary,
            found.gates,
            found.summary,
            f"weights in {copy.kind}, calibrated on {made['calibrated_on']} training rows",
        ),
        encoding="utf-8",
    )
    summary = {**outputs.summary, "quantised": {**made, **found.summary}}
    return replace(
        outputs,
        summary=summary,
        files={**outputs.files, "quantised": FOLDER, "quantised_manifest": MANIFEST},
        gates=[*outputs.gates, *found.gates],
        digest=f"{outputs.digest}:{artifact.digest}",
    )


async def _quantise(context: Context, copy: Copy, model: Path, rows: Path) -> ModelArtifact:
    told = {"model": "model", "rows": "rows.jsonl", "kind": copy.kind, "samples": ROWS_TO_CALIBRATE, "seed": context.shared.seed}
    config = context.folder / "quantise.json"
    config.write_text(json.dumps(told, indent=1), encoding="utf-8")
    requirements, command = quantising_requirements(), ("python", "quantise.py", "config.json")
    start = (
        python_command(copy.machine, copy.python, requirements, *command)
        if copy.python
        else environment_command(copy.machine, requirements, *command)
    )
    job = Job(
        "quantise",
        start.command,
        files={**start.files, **quantising_program(), "model": model.resolve(), "rows.jsonl": rows, "config.json": config},
        environment={"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"},
        resources=Resources(gpus=min(1, copy.gpus), cpus=2, memory_gb=8),
        limit_seconds=LIMIT_SECONDS,
    )

    context.emit(Log(f"making a copy of the model in {copy.kind}"))
    made = await context.jobs.run(job, log_lines(context.emit), copy.machine)
    await context.jobs.fetch(made, [FOLDER, MANIFEST], context.folder)
    return ModelArtifact(context.folder / FOLDER, context.folder / MANIFEST)


def _facts(artifact: ModelArtifact) -> dict[str, Any]:
    manifest = artifact.read_manifest()
    return {name: manifest[name] for name in ("kind", "calibrated_on")}
