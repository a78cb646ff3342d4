"""Step 4: does the tuned model pass the tests?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from pydantic import BaseModel

from core.training.bundle import ModelArtifact
from core.wizard.model_card import model_card, write_card
from core.wizard.retrieval import RETRIEVAL_ANSWERS
from core.wizard.served import foretell_server
from core.wizard.shared import SharedAnswers
from core.wizard.step import Context, Outputs
from core.wizard.steps.evaluation_answers import EvaluationAnswers
from core.wizard.steps.judging import TestSet, estimate, judge, outputs_of, request_for


class EvaluationStep:
    """Serves the model and runs validation and training tests with it."""

    id: ClassVar[str] = "evaluation"
    version: ClassVar[int] = 2
    title: ClassVar[str] = "Evaluation"
    purpose: ClassVar[str] = (
        "Serve the tuned model, run validation and training tests with it and see whether it is good enough."
    )
    upstream: ClassVar[tuple[str, ...]] = ("dataset", "training")
    shared: ClassVar[tuple[str, ...]] = ("tests", "dialect", "patterns", "engine", *RETRIEVAL_ANSWERS)
    answers: ClassVar[type[BaseModel]] = EvaluationAnswers

    def reads(self, shared: SharedAnswers, answers: EvaluationAnswers) -> Sequence[Path]:
        return (shared.assistant,)

    def estimate(self, context: Context) -> str:
        """What the comparison with the strong model will take, in words; "" without one."""
        dataset = context.upstream["dataset"]
        return estimate(context, context.answers, dataset, dataset.outputs.summary["val_test_ids"])

    def foretell_server(self, context: Context) -> str:
        """The GPUs that would be rented to serve the model, in words; "" where none would."""
        training = context.upstream["training"]
        return foretell_server(context, request_for(context.answers, ModelArtifact(training.path("model"), training.path("manifest"))))

    async def run(self, context: Context) -> Outputs:
        answers: EvaluationAnswers = context.answers
        training, dataset = context.upstream["training"], context.upstream["dataset"]
        sets = (
            TestSet("validation", dataset.outputs.summary["val_test_ids"], answers.validation_min),
            TestSet("training", dataset.outputs.summary["train_test_ids"], answers.train_min),
        )
        judged = await judge(context, answers, training, dataset, sets)
        found = outputs_of(judged, answers.accept, answers=answers.model_dump(mode="json"))
        manifest = ModelArtifact(training.path("model"), training.path("manifest")).read_manifest()
        card = write_card(model_card(manifest, dataset.outputs.summary, found.gates, found.summary), context.folder)
        return Outputs(found.summary, {**found.files, "card": card}, found.gates)


STEP = EvaluationStep()
