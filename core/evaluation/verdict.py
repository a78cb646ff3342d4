"""Evaluation of a served model: run tests with it as command source, compare with what was expected."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from core.dialogue.command_text import render_all
from core.dialogue.commands import Command
from core.dialogue.generator import LlmCommandGenerator
from core.e2e.cases import TestCase
from core.e2e.output import failure_report, results_yaml
from core.e2e.recording import Recording
from core.e2e.results import TestResult, TurnRecord
from core.e2e.runner import run_tests
from core.errors import ProviderError, UsageError
from core.evaluation.gates import GateResult, pass_rate_gate
from core.evaluation.review import Workbench
from core.llm.cache import CompletionCache
from core.llm.client import ChatClient, Endpoint

OnProgress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Verdict:
    """How a model did on one set of tests."""

    name: str
    results: tuple[TestResult, ...]
    wrong_turns: tuple[dict[str, Any], ...]
    """Turns of failed tests whose commands differ from the expected: test, turn, user, expected, predicted."""
    turns: int
    exact_turns: int
    """Turns whose commands are exactly the expected ones."""
    median_seconds: float
    """Of one model call."""

    @property
    def passed(self) -> list[bool]:
        return [result.passed for result in self.results]

    def gate(self, minimum: float) -> GateResult:
        return pass_rate_gate(f"{self.name} tests", self.passed, minimum)

    @property
    def summary(self) -> dict[str, Any]:
        """JSON-ready facts."""
        return {
            "tests": len(self.results),
            "passed": sum(self.passed),
            "turns": self.turns,
            "turns_exactly_as_expected": self.exact_turns,
            "median_seconds_per_turn": round(self.median_seconds, 3),
            "failed": [result.case.name for result in self.results if not result.passed],
        }

    def write(self, folder: Path) -> None:
        """Results, failures with transcripts, and the wrong turns."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{self.name}_results.yml").write_text(results_yaml(self.results), encoding="utf-8")
        reports = [failure_report(result) for result in self.results if not result.passed]
        (folder / f"{self.name}_failures.txt").write_text("\n\n".join(reports), encoding="utf-8")
        lines = "".join(json.dumps(turn, ensure_ascii=False) + "\n" for turn in self.wrong_turns)
        (folder / f"{self.name}_wrong_turns.jsonl").write_text(lines, encoding="utf-8")


async def evaluate(
    bench: Workbench,
    endpoint: Endpoint,
    sets: Mapping[str, Sequence[TestCase]],
    expected: Recording,
    history_turns: int | None,
    concurrency: int,
    on_progress: OnProgress,
    answers: CompletionCache | None = None,
    model: str | None = None,
) -> list[Verdict]:
    """Run each set of tests with the model behind an endpoint. Raises ProviderError when the endpoint fails.

    `expected` holds the annotated commands by test id; prompts are rendered as in training. `answers` keeps what `model` (its digest)
    said: the same prompt is asked once, and an evaluation that was cut off goes on where it was.
    """
    total, done = sum(len(cases) for cases in sets.values()), 0

    def finished(result: TestResult) -> None:
        nonlocal done
        done += 1
        on_progress(done, total, result.case.name)

    verdicts = []
    async with ChatClient(endpoint, concurrency, cache=answers, cached_as=model) as client:
        source = LlmCommandGenerator(
            client,
            bench.renderer(history_turns),
            bench.engine.index,
            bench.assistant.settings.max_characters,
            max_tokens=128,
        )
        for name, cases in sets.items():
            results = await run_tests(
                bench.engine,
                cases,
                source,
                actions=bench.actions,
                require_actions=False,
                concurrency=2 * concurrency,
                on_result=finished,
            )
            if results and all(result.error for result in results):
                raise ProviderError(f"no test could be run: {results[0].error}")
            verdicts.append(_verdict(name, results, expected))
    return verdicts


def _verdict(name: str, results: Sequence[TestResult], expected: Recording) -> Verdict:
    wrong: list[dict[str, Any]] = []
    turns = exact = 0
    seconds = []
    for result in results:
        wanted = expected.turns.get(result.case.id, ())
        for number, record in enumerate(result.turns):
            if record.prediction is None:
                continue
            seconds.append(record.prediction.seconds)
            commands = wanted[number] if number < len(wanted) else None
            turns += 1
            if commands is not None and _same(commands, record):
                exact += 1
            elif not result.passed:
                wrong.append(_wrong_turn(result, number, record, commands))
    return Verdict(name, tuple(results), tuple(wrong), turns, exact, median(seconds) if seconds else 0.0)


def _same(expected: Iterable[Command], record: TurnRecord) -> bool:
    assert record.prediction is not None
    return {_text([command]) for command in expected} == {_text([command]) for command in record.prediction.commands}


def _wrong_turn(
    result: TestResult, number: int, record: TurnRecord, expected: Sequence[Command] | None
) -> dict[str, Any]:
    assert record.prediction is not None
    return {
        "test": result.case.id,
        "turn": number + 1,
        "user": record.turn.user,
        "expected": None if expected is None else _text(expected),
        "predicted": record.prediction.completion,
    }


def _text(commands: Sequence[Command]) -> str:
    """Commands in one spelling; internal ones by their name."""
    parts = []
    for command in commands:
        try:
            parts.append(render_all([command], "v2"))
        except UsageError:
            parts.append(type(command).__name__)
    return "\n".join(parts)
