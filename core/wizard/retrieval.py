"""Flow retrieval across the steps: chosen once a session, recorded with the rows, the same wherever the model is asked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.dialogue.embedding import local_embedder
from core.dialogue.retrieval import OFF, Embedder, difference
from core.errors import StepFailed
from core.evaluation.review import Workbench
from core.wizard.shared import SharedAnswers
from core.wizard.step import Upstream


def embedder_of(shared: SharedAnswers) -> Embedder | None:
    """The embedding model that was chosen, not yet loaded; None when prompts list every flow."""
    return local_embedder(shared.embedding_model) if shared.flow_retrieval == "on" else None


def recorded(dataset: Upstream) -> Mapping[str, Any]:
    """What decided which flows the rows list."""
    facts: Mapping[str, Any] = dataset.outputs.summary.get("flow_retrieval", OFF)
    return facts


def require_as_recorded(bench: Workbench, dataset: Upstream) -> None:
    """Raises StepFailed when our prompts would list flows otherwise than those the rows were made with, and what embedders raise."""
    if dataset.outputs.summary.get("prompts", "own") != "own":
        return
    if changed := difference(recorded(dataset), bench.flow_retrieval):
        raise StepFailed(
            f"flow retrieval is not as it was when the rows were made ({changed}); prompts would be others than in training. "
            "Run the data preparation again, or undo the change"
        )
