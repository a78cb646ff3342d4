"""Validation and training tests with the tuned model."""

from __future__ import annotations

from core.training.bundle import ModelArtifact
from core.wizard import served
from core.wizard.model_card import model_card, write_card
from core.wizard.step import Context, Outputs
from core.wizard.steps.evaluation import EvaluationAnswers
from core.wizard.work import judging
from core.wizard.work.judging import TestSet, judge, outputs_of, request_for


def estimate(context: Context) -> str:
    """What the comparison with the strong model will take, in words; "" without one."""
    dataset = context.upstream["dataset"]
    return judging.estimate(context, context.answers, dataset, dataset.outputs.summary["val_test_ids"])


def foretell_server(context: Context) -> str:
    """The GPUs that would be rented to serve the model, in words; "" where none would."""
    training = context.upstream["training"]
    artifact = ModelArtifact(training.path("model"), training.path("manifest"))
    return served.foretell_server(context, request_for(context.answers, artifact))


async def run(context: Context) -> Outputs:
    """Serve the model and run the tests; leaves the model's card."""
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
