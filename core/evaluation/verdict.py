"""How a model did on a set of tests, and what can be learnt from where it failed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.dialogue.command_text import as_lines
from core.dialogue.commands import Command
from core.dialogue.source import Prediction
from core.e2e.output import failure_report, results_yaml
from core.e2e.recording import Recording
from core.e2e.results import TestResult, TurnRecord
from core.e2e.side_by_side import sides
from core.evaluation.bars import Accept
from core.evaluation.comparison import Comparison
from core.evaluation.economy import Economy
from core.evaluation.failures import FailureGroups, group
from core.evaluation.gates import GateResult, pass_rate_gate
from core.evaluation.statistics import decide, pass_hat, tests_to_decide, wilson


@dataclass(frozen=True)
class Verdict:
    """A model on one set of tests."""

    name: str
    """validation, training or golden."""
    runs: tuple[tuple[TestResult, ...], ...]
    """Results of each run, at least one, over the same tests in the same order."""
    wrong_turns: tuple[dict[str, Any], ...]
    """Turns of failed tests of the first run whose commands differ from the expected: test, turn, user, expected, predicted."""
    turns: int = 0
    """Of the first run, those the model was asked about."""
    exact_turns: int = 0
    """Turns whose commands are exactly the expected ones."""
    invalid_turns: int = 0
    """Turns in which the model wrote something that is no valid command."""
    economy: Economy = field(default_factory=Economy)
    failures: FailureGroups = field(default_factory=lambda: group(()))

    @property
    def results(self) -> tuple[TestResult, ...]:
        """Of the first run."""
        return self.runs[0]

    @property
    def passes(self) -> dict[str, int]:
        """Test id → runs that passed."""
        return {
            results[0].case.id: sum(result.passed for result in results) for results in zip(*self.runs, strict=True)
        }

    @property
    def outcome(self) -> dict[str, bool]:
        """Test id → True when most of its runs passed."""
        return {test: 2 * count > len(self.runs) for test, count in self.passes.items()}

    @property
    def passed(self) -> list[bool]:
        return list(self.outcome.values())

    @property
    def flaky(self) -> list[str]:
        """Ids of the tests that pass in some runs and not in others."""
        return [test for test, count in self.passes.items() if 0 < count < len(self.runs)]

    def without(self, tests: Iterable[str]) -> list[bool]:
        """As `passed`, without some tests."""
        left_out = set(tests)
        return [passed for test, passed in self.outcome.items() if test not in left_out]

    def gate(self, minimum: float, accept: Accept = "share", comparison: Comparison | None = None) -> GateResult:
        return pass_rate_gate(f"{self.name} tests", self.passed, minimum, accept, comparison)

    def summary(self, minimum: float) -> dict[str, Any]:
        """JSON-ready facts, with what they prove about a minimum."""
        count, total, repeats = sum(self.passed), len(self.passed), len(self.runs)
        interval = wilson(count, total)
        return {
            "tests": total,
            "passed": count,
            "rate": round(count / total, 4) if total else None,
            "interval": [round(interval.low, 4), round(interval.high, 4)],
            "minimum": minimum,
            "verdict": decide(count, total, minimum),
            "more_tests": tests_to_decide(count, total, minimum),
            "repeats": repeats,
            "pass_hat": {
                str(k): round(pass_hat(list(self.passes.values()), repeats, k), 4) for k in range(1, repeats + 1)
            },
            "flaky": self.flaky,
            "turns": self.turns,
            "turns_exactly_as_expected": self.exact_turns,
            "invalid_turns": self.invalid_turns,
            **self.economy.facts,
            "failed": [result.case.name for result in self.results if not result.passed],
            "failures": self.failures.facts,
        }

    def write(self, folder: Path) -> None:
        """Results, failures with transcripts and side by side, and the wrong turns."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{self.name}_results.yml").write_text(results_yaml(self.results), encoding="utf-8")
        reports = [failure_report(result) for result in self.results if not result.passed]
        (folder / f"{self.name}_failures.txt").write_text("\n\n".join(reports), encoding="utf-8")
        compared = {result.case.id: sides(result).facts for result in self.results if not result.passed}
        (folder / f"{self.name}_sides.json").write_text(json.dumps(compared, ensure_ascii=False), encoding="utf-8")
        lines = "".join(json.dumps(turn, ensure_ascii=False) + "\n" for turn in self.wrong_turns)
        (folder / f"{self.name}_wrong_turns.jsonl").write_text(lines, encoding="utf-8")


def predictions_of(runs: Iterable[Sequence[TestResult]]) -> Iterator[Prediction]:
    """What a model was asked, over all runs."""
    for results in runs:
        for result in results:
            yield from (record.prediction for record in result.turns if record.prediction is not None)


def turns_of(results: Iterable[TestResult], expected: Recording) -> tuple[int, int, list[dict[str, Any]]]:
    """(turns, those exactly as expected, the wrong ones of failed tests)."""
    wrong: list[dict[str, Any]] = []
    turns = exact = 0
    for result in results:
        wanted = expected.turns.get(result.case.id, ())
        for number, record in enumerate(result.turns):
            if record.prediction is None:
                continue
            commands = wanted[number] if number < len(wanted) else None
            turns += 1
            if commands is not None and _same(commands, record):
                exact += 1
            elif not result.passed:
                wrong.append(_wrong_turn(result, number, record, commands))
    return turns, exact, wrong


def _same(expected: Iterable[Command], record: TurnRecord) -> bool:
    assert record.prediction is not None
    return set(as_lines(expected)) == set(as_lines(record.prediction.commands))


def _wrong_turn(
    result: TestResult, number: int, record: TurnRecord, expected: Sequence[Command] | None
) -> dict[str, Any]:
    assert record.prediction is not None
    return {
        "test": result.case.id,
        "turn": number + 1,
        "user": record.turn.user,
        "expected": None if expected is None else "\n".join(as_lines(expected)),
        "predicted": record.prediction.completion,
    }
