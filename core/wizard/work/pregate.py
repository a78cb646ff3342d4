"""What a trained model wrote for the validation rows, scored: known in seconds, before a server starts or a test runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from core.assistant.project import load_assistant
from core.evaluation.command_scores import CommandScores, score_commands
from core.evaluation.gates import percent
from core.wizard.shared import SharedAnswers
from core.wizard.step import Gate, Upstream


def score(predictions: Path, shared: SharedAnswers, dataset: Upstream) -> CommandScores:
    """Scores of a predictions.jsonl that the training program left. Raises ProblemsError for an assistant that cannot be read."""
    assistant = load_assistant(shared.assistant)
    lines: list[dict[str, Any]] = [
        json.loads(line) for line in predictions.read_text(encoding="utf-8").split("\n") if line
    ]
    return score_commands(
        [(line["expected"], line["predicted"]) for line in lines],
        dataset.outputs.summary["dialect"],
        {flow.id for flow in assistant.business_flows},
        assistant.domain.slots,
    )


def gate(scores: CommandScores, minimum: float) -> Gate:
    """Rows with exactly the expected commands against a minimum below which tests need not be run."""
    measured = f"{percent(scores.exact_rate)} ({scores.exact} of {scores.rows})"
    return Gate(
        "validation rows written exactly",
        f"≥ {percent(minimum)}",
        measured,
        scores.exact_rate >= minimum,
        detail=scores.sentence,
    )
