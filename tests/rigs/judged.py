"""Outcomes of evaluations for the screens: all that a summary may hold, and as little as it did before there was more."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from core.errors import GateFailed
from core.wizard.recipe import STEP_IDS
from core.wizard.run import run_recipe
from core.wizard.session import Session
from core.wizard.step import Context, Gate, Outputs

CASE = {
    "test": "e2e_tests/beds.yml::a [/b] night in the attic",
    "turn": 2,
    "line": 14,
    "user": "the attic [/x] please",
    "cause": "wrong value",
    "flow": "book_bed",
    "command": "set slot",
    "expected": ["set slot room attic"],
    "predicted": "set slot room cellar",
    "conversation": ["USER: I need a bed please", "AI: utter_ask_room", "USER: the attic [/x] please"],
    "reason": "slot room is cellar, expected attic",
}
CASES = [
    CASE,
    {**CASE, "test": "e2e_tests/beds.yml::three nights", "turn": 3, "user": "three nights", "predicted": ""},
    {
        **CASE,
        "test": "e2e_tests/boats.yml::a boat for two hours",
        "turn": 1,
        "user": "can we take the rowing boat out for two hours tomorrow, if the weather holds",
        "cause": "wrong flow",
        "flow": "rent_boat",
        "expected": "start flow rent_boat",
        "predicted": "start flow join_tour",
        "conversation": [],
    },
]
VALIDATION = {
    "tests": 20,
    "passed": 17,
    "rate": 0.85,
    "interval": [0.64, 0.948],
    "minimum": 0.8,
    "verdict": "inconclusive",
    "more_tests": 23,
    "repeats": 3,
    "pass_hat": {"1": 0.85, "2": 0.78, "3": 0.71},
    "flaky": ["e2e_tests/boats.yml::a boat for two hours"],
    "turns": 44,
    "turns_exactly_as_expected": 41,
    "invalid_turns": 1,
    "latency": {"p50": 0.11, "p90": 0.19, "p99": 0.42},
    "requests_at_once": 8,
    "tokens": {"prompt": 1830.4, "completion": 9.2},
    "usd_per_1000_turns": None,
    "failed": ["a [/b] night in the attic", "three nights", "a boat for two hours"],
    "failures": {
        "causes": {"wrong value": 2, "wrong flow": 1},
        "flows": {"book_bed": 2, "rent_boat": 1},
        "commands": {"set slot": 2, "start flow": 1},
        "next_step": "write tests that name rooms in other words, then prepare the data again",
        "cases": CASES,
    },
}
TRAINING = {
    **VALIDATION,
    "tests": 80,
    "passed": 80,
    "rate": 1.0,
    "interval": [0.954, 1.0],
    "minimum": 0.95,
    "verdict": "pass",
    "more_tests": None,
    "repeats": 1,
    "flaky": [],
    "invalid_turns": 0,
    "turns": 180,
    "turns_exactly_as_expected": 180,
    "failed": [],
    "failures": {"causes": {}, "flows": {}, "commands": {}, "next_step": "", "cases": []},
}
FULL: dict[str, Any] = {
    "validation": VALIDATION,
    "training": TRAINING,
    "comparison": {
        "model": "gpt-4o",
        "both": 15,
        "only_tuned": 2,
        "only_strong": 3,
        "neither": 0,
        "tests": 20,
        "p_value": 1.0,
        "difference": -0.05,
        "interval": [-0.27, 0.18],
        "margin": 0.1,
        "verdict": "inconclusive",
        "sentence": "The tuned model passes 1 test fewer than gpt-4o; 20 tests are too few to call them comparable.",
        "flaky": ["e2e_tests/boats.yml::a boat for two hours"],
    },
    "strong": {
        "model": "gpt-4o",
        "tests": 20,
        "passed": 18,
        "latency": {"p50": 0.84, "p90": 1.61, "p99": 3.9},
        "tokens": {"prompt": 2410.0, "completion": 14.0},
        "usd_per_1000_turns": 6.21,
    },
    "grammar": {
        "without": {"invalid_turns": 4, "passed": 15, "tests": 20},
        "with": {"invalid_turns": 0, "passed": 17, "tests": 20},
    },
}
GATES = [
    Gate(
        "validation tests",
        "≥ 80 % proven (95 %)",
        "85.0 % (17 of 20)",
        False,
        "inconclusive",
        "reached, but not proven",
    ),
    Gate("training tests", "≥ 95 %", "100.0 % (80 of 80)", True),
]
OLD_GATES = [
    Gate("validation tests", "≥ 80 %", "75.0 % (3 of 4)", False),
    Gate("training tests", "≥ 95 %", "100.0 %", True),
]
OLD: dict[str, Any] = {
    "validation": {
        "tests": 4,
        "passed": 3,
        "turns": 9,
        "turns_exactly_as_expected": 8,
        "median_seconds_per_turn": 0.213,
        "failed": ["hours"],
    },
    "training": {"tests": 2, "passed": 2, "turns": 0, "turns_exactly_as_expected": 0, "failed": []},
}
OLD_TURN = {"test": "a.yml::hours", "turn": 1, "user": "open?", "expected": None, "predicted": "clarify [/a]"}


async def judged(
    home: Path, assistant: Path | str, summary: Mapping[str, Any], gates: list[Gate], monkeypatch: Any
) -> Session:
    """A session of the fake recipe (install it first) whose evaluation came to this; it is left open."""
    import core.wizard.run

    step = core.wizard.run.step("evaluation")

    async def run(context: Context) -> Outputs:
        results = context.folder / "results"
        results.mkdir()
        (results / "validation_wrong_turns.jsonl").write_text(json.dumps(OLD_TURN) + "\n")
        return Outputs(summary, {"results": "results"}, gates)

    monkeypatch.setattr(step, "run", run)
    session = Session.create(home, "one")
    session.answer("session", {"assistant": str(assistant)})
    with suppress(GateFailed):
        await run_recipe(session, lambda step, event: None, STEP_IDS[3])
    return session
