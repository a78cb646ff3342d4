"""Step 4: does the tuned model pass the tests?"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from core.e2e.cases import TestCase
from core.e2e.recording import read_recording
from core.errors import StepFailed
from core.evaluation.gates import TRAINING_PASS_RATE, VALIDATION_PASS_RATE
from core.evaluation.review import Workbench, workbench
from core.evaluation.verdict import Verdict, evaluate
from core.evaluation.with_rasa import evaluate_with_rasa
from core.llm.cache import CompletionCache
from core.training.bundle import ModelArtifact
from core.wizard.engine import rasa_of
from core.wizard.events import Log, Notice, Progress
from core.wizard.retrieval import RETRIEVAL_ANSWERS, embedder_of, recorded, require_as_recorded
from core.wizard.served import ServerRequest, served
from core.wizard.shared import SharedAnswers
from core.wizard.step import Context, Gate, Outputs, Upstream
from provisioning.places import LOCAL, PLACE_PATTERN


class EvaluationAnswers(BaseModel):
    """Bars of the evaluation, and how the model is served for it."""

    model_config = ConfigDict(extra="forbid")

    validation_min: float = Field(
        VALIDATION_PASS_RATE, ge=0, le=1, title="Validation", description="Share of validation tests that must pass."
    )
    train_min: float = Field(
        TRAINING_PASS_RATE, ge=0, le=1, title="Training tests", description="Share of training tests that must pass."
    )
    machine: str = Field(
        LOCAL,
        pattern=PLACE_PATTERN,
        title="Machine",
        description="Where the model is served for the tests: local, or ssh: and a host of the SSH configuration.",
        json_schema_extra={"cosmetic": True},
    )
    engine: Literal["auto", "vllm", "transformers"] = Field(
        "auto",
        title="Model server",
        description="auto takes vLLM where it is installed (on another machine: where there is a GPU), else transformers serve.",
        json_schema_extra={"cosmetic": True},
    )
    python: str = Field(
        "", title="Python", description="Interpreter on the machine with the model server; empty for the one calmtune runs in, and on "
        "another machine for an environment that is made there once.",
        json_schema_extra={"cosmetic": True, "advanced": True},
    )  # fmt: skip
    concurrency: int = Field(
        4,
        ge=1,
        le=512,
        title="Requests at a time",
        description="How many requests the server gets at once.",
        json_schema_extra={"cosmetic": True},
    )


class EvaluationStep:
    """Serves the model and runs validation and training tests with it."""

    id: ClassVar[str] = "evaluation"
    version: ClassVar[int] = 1
    title: ClassVar[str] = "Evaluation"
    purpose: ClassVar[str] = (
        "Serve the tuned model, run validation and training tests with it and see whether it is good enough."
    )
    upstream: ClassVar[tuple[str, ...]] = ("dataset", "training")
    shared: ClassVar[tuple[str, ...]] = ("tests", "dialect", "patterns", "engine", *RETRIEVAL_ANSWERS)
    answers: ClassVar[type[BaseModel]] = EvaluationAnswers

    def reads(self, shared: SharedAnswers, answers: EvaluationAnswers) -> Sequence[Path]:
        return (shared.assistant,)

    async def run(self, context: Context) -> Outputs:
        training = context.upstream["training"]
        verdicts = await judge(context, context.answers, training, context.upstream["dataset"])
        return outputs_of(verdicts, context, answers=context.answers.model_dump(mode="json"))


async def judge(
    context: Context, answers: EvaluationAnswers, model: Upstream, dataset: Upstream
) -> list[tuple[Verdict, float]]:
    """Serve a trained model and run the two sets of tests: (verdict, required share) for each.

    `model` has the files "model" and "manifest". Raises StepFailed when files were changed or the server does not start.
    """
    artifact = ModelArtifact(model.path("model"), model.path("manifest"))
    artifact.verify()
    shared: SharedAnswers = context.shared
    rasa = await rasa_of(context)
    dialect, embedder = dataset.outputs.summary["dialect"], embedder_of(shared)
    bench = workbench(shared.assistant, shared.tests, dialect, shared.patterns, embedder)
    try:
        await asyncio.to_thread(require_as_recorded, bench, dataset)
        _tell_other_prompts(context, bench, dataset, "own" if rasa is None else "rasa")
        sets = split_tests(bench, dataset)
        request = ServerRequest(model.path("model").resolve(), answers.machine, answers.engine, python=answers.python)

        def on_progress(done: int, total: int, test: str) -> None:
            context.emit(Progress(done, total, "tests", label=test))

        async with served(context, request) as endpoint:
            if rasa is not None:
                verdicts = await evaluate_with_rasa(rasa, bench, endpoint, sets, context.folder, recorded(dataset))
            else:
                with _answers_so_far(context.folder) as said:
                    verdicts = await evaluate(
                        bench,
                        endpoint,
                        sets,
                        read_recording(dataset.path("annotations")),
                        dataset.outputs.summary["history_turns"],
                        answers.concurrency,
                        on_progress,
                        said,
                        artifact.digest,
                    )
    finally:
        bench.close()
    required = {"validation": answers.validation_min, "training": answers.train_min}
    for verdict in verdicts:
        verdict.write(context.folder / "results")
        for turn in verdict.wrong_turns:
            context.emit(Log(f"{turn['test']} turn {turn['turn']}: {turn['user']!r}"))
            context.emit(Log(f"    expected {turn['expected']!r}, predicted {turn['predicted'][:120]!r}"))
    return [(verdict, required[verdict.name]) for verdict in verdicts]


@contextmanager
def _answers_so_far(folder: Path) -> Iterator[CompletionCache]:
    """What the model said before the evaluation was cut off; of no use any more once it is finished."""
    path = folder / "completions.sqlite"
    cache = CompletionCache(path)
    try:
        yield cache
    finally:
        cache.close()
    path.unlink()


def _tell_other_prompts(context: Context, bench: Workbench, dataset: Upstream, engine: str) -> None:
    """Warn when the model is about to be shown other prompts than it was trained on; an owner's template is the same everywhere."""
    prompts = dataset.outputs.summary.get("prompts", "own")
    if prompts != engine and bench.owners_template is None:
        context.emit(
            Notice(
                "warning",
                f"the rows have the prompts of engine {prompts}, the tests are run by engine {engine}, which shows the model others; "
                f"answer engine: {prompts}, or give the assistant a prompt template of its own",
            )
        )


def split_tests(bench: Workbench, dataset: Upstream) -> dict[str, list[TestCase]]:
    """The tests of both sides of the split, from the assistant's own test files.

    Raises StepFailed when the tests no longer are those that were split.
    """
    cases = {case.id: case for case in bench.suite.cases}
    sets: dict[str, list[TestCase]] = {}
    for name, key in (("validation", "val_test_ids"), ("training", "train_test_ids")):
        ids = dataset.outputs.summary[key]
        missing = [id for id in ids if id not in cases]
        if missing:
            raise StepFailed(f"test {missing[0]} is no longer there; run the data preparation again")
        sets[name] = [cases[id] for id in ids]
    return sets


def outputs_of(verdicts: list[tuple[Verdict, float]], context: Context, **facts: Any) -> Outputs:
    """Gates and facts of an evaluation."""
    gates = [Gate(**asdict(verdict.gate(minimum))) for verdict, minimum in verdicts]
    summary = {**facts, **{verdict.name: verdict.summary for verdict, _ in verdicts}}
    return Outputs(summary, {"results": "results", "server_log": "server.log"}, gates)


STEP = EvaluationStep()
