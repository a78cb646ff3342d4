"""Step 4: does the tuned model pass the tests?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from core.evaluation.bars import TRAINING_PASS_RATE, VALIDATION_PASS_RATE, Accept
from core.wizard.shared import RETRIEVAL_ANSWERS, SharedAnswers
from core.wizard.step import Context, Outputs
from provisioning.place_names import LOCAL, PLACE_PATTERN


class EvaluationAnswers(BaseModel):
    """Bars of the evaluation, what the model is compared with, and how it is served for it."""

    model_config = ConfigDict(extra="forbid")

    validation_min: float = Field(
        VALIDATION_PASS_RATE, ge=0, le=1, title="Validation", description="Share of validation tests that must pass."
    )
    train_min: float = Field(
        TRAINING_PASS_RATE, ge=0, le=1, title="Training tests", description="Share of training tests that must pass."
    )
    accept: Accept = Field(
        "share",
        title="Accept",
        description="share: the share of passed tests decides, as in the recipe. proven: the whole 95 % interval must lie above the bar, "
        "which takes many more tests. The interval is shown either way.",
    )
    repeats: int = Field(
        1,
        ge=1,
        le=20,
        title="Runs of each test",
        description="With more than one, a test passes when most of its runs do; tests that do not always pass are named, and "
        "the chance that several runs in a row pass is shown.",
        json_schema_extra={"unit": "runs", "advanced": True},
    )
    compare: Literal["auto", "llm", "none"] = Field(
        "auto",
        title="Compare with the strong model",
        description="llm asks the model the assistant is configured with about the same tests; a tuned model that is proven to be no "
        "more than the margin worse is accepted below the bar too. auto does so where that model gave the commands of the coverage review.",
    )
    margin: float = Field(
        0.05,
        ge=0,
        le=0.5,
        title="Margin",
        description="Share of tests by which the tuned model may be worse than the strong one and still counts as comparable.",
        json_schema_extra={"advanced": True},
    )
    grammar: Literal["off", "on", "both"] = Field(
        "off",
        title="Grammar",
        description="on: the server lets the model write valid commands only (vLLM). both: the tests run with and without it, and the "
        "difference is shown; what is judged is the run without.",
        json_schema_extra={"advanced": True},
    )
    budget_usd: float | None = Field(
        None,
        ge=0,
        title="Budget",
        description="The comparison stops before the strong model costs more; what was answered by then is kept. Empty for no limit.",
        json_schema_extra={"unit": "US dollars", "cosmetic": True},
    )
    machine: str = Field(
        LOCAL,
        pattern=PLACE_PATTERN,
        title="Machine",
        description="Where the model is served for the tests: local, or ssh: and a host of the SSH configuration.",
        json_schema_extra={"cosmetic": True},
    )
    machine_usd_per_hour: float | None = Field(
        None,
        ge=0,
        title="Price of the machine",
        description="What an hour of the machine that will serve the model costs you, for the price of 1,000 turns. Empty when unknown.",
        json_schema_extra={"unit": "US dollars an hour", "cosmetic": True, "advanced": True},
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
        from core.wizard.work import evaluation

        return evaluation.estimate(context)

    def foretell_server(self, context: Context) -> str:
        """The GPUs that would be rented to serve the model, in words; "" where none would."""
        from core.wizard.work import evaluation

        return evaluation.foretell_server(context)

    async def run(self, context: Context) -> Outputs:
        from core.wizard.work import evaluation

        return await evaluation.run(context)


STEP = EvaluationStep()
