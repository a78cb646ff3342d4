"""Step 1: do the tests cover the assistant?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field

from core.evaluation.bars import FLOW_COVERAGE, TOTAL_COVERAGE
from core.wizard.shared import RETRIEVAL_ANSWERS, SharedAnswers, model_files
from core.wizard.step import Context, Outputs


class CoverageAnswers(BaseModel):
    """Bars of the coverage review."""

    model_config = ConfigDict(extra="forbid")

    total_min: float = Field(
        TOTAL_COVERAGE,
        ge=0,
        le=1,
        title="Total coverage",
        description="Share of all flow steps that passing tests must reach.",
    )
    per_flow_min: float = Field(
        FLOW_COVERAGE,
        ge=0,
        le=1,
        title="Coverage of each flow",
        description="Share of each flow's steps that passing tests must reach.",
    )
    min_command_samples: int = Field(
        1,
        ge=0,
        title="Samples of each command",
        description="How often each command the assistant needs must occur in passing tests.",
    )
    concurrency: int = Field(
        8,
        ge=1,
        le=256,
        title="Tests at a time",
        description="How many tests run at once when a language model is asked.",
        json_schema_extra={"cosmetic": True},
    )


class CoverageStep:
    """Runs every test and measures which flow steps the passing ones reach."""

    id: ClassVar[str] = "coverage"
    version: ClassVar[int] = 1
    title: ClassVar[str] = "Coverage review"
    purpose: ClassVar[str] = "Run the end-to-end tests and see which steps of the flows and which commands they cover."
    upstream: ClassVar[tuple[str, ...]] = ()
    shared: ClassVar[tuple[str, ...]] = ("tests", "commands", "dialect", "patterns", "engine", *RETRIEVAL_ANSWERS)
    answers: ClassVar[type[BaseModel]] = CoverageAnswers

    def reads(self, shared: SharedAnswers, answers: CoverageAnswers) -> Sequence[Path]:
        own = [shared.assistant, *model_files(shared)]
        for path in (shared.tests, shared.commands):
            if path and Path(path.partition("::")[0]).exists():
                own.append(Path(path.partition("::")[0]))
        return own

    async def run(self, context: Context) -> Outputs:
        from core.wizard.work import coverage

        return await coverage.run(context)


STEP = CoverageStep()
