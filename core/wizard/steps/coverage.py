"""Step 1: do the tests cover the assistant?"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from core.evaluation.gates import FLOW_COVERAGE, TOTAL_COVERAGE
from core.evaluation.review import review
from core.evaluation.with_rasa import review_with_rasa
from core.wizard.engine import rasa_of
from core.wizard.events import Log, Notice, Progress
from core.wizard.retrieval import RETRIEVAL_ANSWERS, embedder_of, model_files
from core.wizard.shared import SharedAnswers
from core.wizard.step import Context, Gate, Outputs

COPY = "assistant"
"""The copy of the assistant that the `rasa` command trained; not there after a run of our own."""


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
        answers: CoverageAnswers = context.answers
        shared: SharedAnswers = context.shared

        def on_progress(done: int, total: int, test: str) -> None:
            context.emit(Progress(done, total, "tests", label=test))

        asked: dict[str, Any] = {
            "folder": context.folder / "e2e_coverage_results",
            "total_min": answers.total_min,
            "per_flow_min": answers.per_flow_min,
            "min_command_samples": answers.min_command_samples,
            "dialect": shared.dialect,
            "patterns": shared.patterns,
            "on_progress": on_progress,
        }
        rasa = await rasa_of(context)
        if rasa is not None:
            copy = context.folder / COPY
            found = await review_with_rasa(rasa, shared.assistant, shared.tests, copy=copy, **asked)
        else:
            asked |= {"concurrency": answers.concurrency, "embedder": embedder_of(shared)}
            found = await review(shared.assistant, shared.tests, shared.commands, **asked)
        for notice in found.notices:
            context.emit(Notice("info", notice))
        for report in found.failure_reports.values():
            for line in report.splitlines():
                context.emit(Log(line))
        for name, content in (
            ("coverage", found.summary), ("failures", dict(found.failure_reports)), ("sides", dict(found.sides)),
        ):  # fmt: skip
            text = json.dumps(content, ensure_ascii=False, indent=1, default=str)
            (context.folder / f"{name}.json").write_text(text, encoding="utf-8")
        files = {
            "report": "coverage.json",
            "failures": "failures.json",
            "sides": "sides.json",
            "results": "e2e_coverage_results",
            "recording": "e2e_coverage_results/commands.yml",
        }
        files["passed_tests"] = "e2e_coverage_results/passed.yml"
        return Outputs(found.summary, files, [Gate(**asdict(gate)) for gate in found.gates])


STEP = CoverageStep()
