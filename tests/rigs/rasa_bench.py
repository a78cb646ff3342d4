"""Steps of the recipe with the stand-in for the `rasa` command on PATH."""

from __future__ import annotations

import os
import shutil
from functools import cache
from pathlib import Path
from typing import Any

from rigs import rasa_stand_in

from core.dataset.infer import infer
from core.dialogue.command_text import render
from core.e2e.runner import engine_for
from core.evaluation.review import workbench
from core.wizard.events import Log
from core.wizard.shared import SharedAnswers
from core.wizard.step import Context, Outputs, Upstream
from core.wizard.steps.coverage import STEP as COVERAGE
from core.wizard.steps.coverage import CoverageAnswers
from core.wizard.steps.dataset import STEP as DATASET
from core.wizard.steps.dataset import DatasetAnswers

PARCELS = Path(__file__).resolve().parents[1] / "assistants" / "parcels"
CANARY = "canary-licence-5f3a9c"
TABLE = [
    ["data/flows.yml::opening_hours", 2, 0, "[]"],
    ["data/flows.yml::send_parcel", 8, 2, "[16-18, 24-26]"],
    ["data/flows.yml::pattern_completed", 1, 1, "[7-7]"],
]


class Bench:
    """An assistant, a session's folder, and a rasa on PATH."""

    def __init__(self, folder: Path, assistant: Path) -> None:
        self.folder, self.assistant, self.bin = folder / "session", assistant, folder / "bin"
        self.events: list[Any] = []
        self.upstream: dict[str, Upstream] = {}

    def install(self, version: str = "3.16", **behaviour: Any) -> None:
        dialect: Any = "v1" if version == "3.10" else "v2"
        lines = {text: [render(command, dialect) for command in found] for text, found in _commands().items()}
        rasa_stand_in.install(self.bin, version=version, commands=lines, coverage=TABLE, **behaviour)

    def context(self, step: str, answers: Any, engine: str = "rasa", **shared: Any) -> Context:
        folder = self.folder / "runs" / step
        folder.mkdir(parents=True, exist_ok=True)
        asked = SharedAnswers(assistant=self.assistant, engine=engine, **shared)
        return Context(answers, asked, self.upstream, folder, self.events.append, jobs=None)

    async def review(self, engine: str = "rasa", **shared: Any) -> Outputs:
        context = self.context("coverage", CoverageAnswers(), engine, **shared)
        outputs = await COVERAGE.run(context)
        self.upstream["coverage"] = Upstream(outputs, context.folder)
        return outputs

    async def prepare(self, engine: str = "rasa", **answers: Any) -> Outputs:
        context = self.context("dataset", DatasetAnswers(**{"golden_fraction": 0, **answers}), engine)
        outputs = await DATASET.run(context)
        self.upstream["dataset"] = Upstream(outputs, context.folder)
        return outputs

    @property
    def calls(self) -> list[dict[str, Any]]:
        return rasa_stand_in.calls(self.bin)

    def said(self, kind: type = Log) -> str:
        return "\n".join(
            getattr(event, "line", getattr(event, "text", "")) for event in self.events if isinstance(event, kind)
        )


def make(folder: Path, monkeypatch: Any) -> Bench:
    """A bench with a copy of the parcel service, a licence in the environment and no command on PATH yet."""
    shutil.copytree(PARCELS, folder / "parcels")
    bench = Bench(folder, folder / "parcels")
    monkeypatch.setenv("RASA_LICENSE", CANARY)
    monkeypatch.setenv("PATH", f"{bench.bin}{os.pathsep}{os.environ['PATH']}")
    return bench


@cache
def _commands() -> dict[str, tuple[Any, ...]]:
    """What each message of the tests calls for."""
    bench = workbench(PARCELS, None)
    bench.close()
    return {
        turn.user: tuple(commands)
        for case in bench.suite.cases
        for turn, commands in zip(
            case.turns,
            infer(engine_for(bench.engine, case, bench.actions, require_actions=False), case).turns,
            strict=False,
        )
        if commands
    }
