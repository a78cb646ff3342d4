"""A coverage review or a preparation in a process of its own: prepare.py ASSISTANT SESSION WORDINGS AT_ONCE review|prepare."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from core.wizard.shared import SharedAnswers
from core.wizard.step import Context, Outputs, Upstream
from core.wizard.steps.coverage import STEP as COVERAGE
from core.wizard.steps.coverage import CoverageAnswers
from core.wizard.steps.dataset import STEP as DATASET
from core.wizard.steps.dataset import DatasetAnswers


def main(assistant: str, session: str, wordings: str, at_once: str, what: str) -> None:
    folder = Path(session) / "runs"
    for name in ("coverage", "dataset"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    shared = SharedAnswers(assistant=Path(assistant), commands="llm")
    kept = folder / "coverage" / "kept.json"
    if what == "review":
        context = Context(CoverageAnswers(), shared, {}, folder / "coverage", lambda event: None, jobs=None)
        outputs = asyncio.run(COVERAGE.run(context))
        kept.write_text(json.dumps([outputs.summary, outputs.files], default=str))
        return
    summary, files = json.loads(kept.read_text())
    answers = DatasetAnswers(num_rephrases=int(wordings), concurrency=int(at_once), golden_fraction=0)
    upstream = {"coverage": Upstream(Outputs(summary, files), folder / "coverage")}
    asyncio.run(DATASET.run(Context(answers, shared, upstream, folder / "dataset", lambda event: None, jobs=None)))


main(*sys.argv[1:])
