"""The coverage review: every test is run, and what the passing ones reach is measured."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from core.evaluation.review import review
from core.evaluation.with_rasa import review_with_rasa
from core.wizard.engine import rasa_of
from core.wizard.events import Log, Notice, Progress
from core.wizard.retrieval import embedder_of
from core.wizard.shared import SharedAnswers
from core.wizard.step import Context, Gate, Outputs
from core.wizard.steps.coverage import CoverageAnswers

COPY = "assistant"
"""The copy of the assistant that the `rasa` command trained; not there after a run of our own."""


async def run(context: Context) -> Outputs:
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
