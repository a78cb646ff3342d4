"""A run as lines for other programs: one JSON object a line, and the JSON Schema of such lines.

Every line has `type`, `version`, `time`, `session` and `step`; what else it has depends on its type. The last one is of type `end`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from pydantic import TypeAdapter

from core.wizard.events import Cost, Described, Log, MachineCost, Metric, Notice, Progress, StepEvent
from core.wizard.recipe import STEP_IDS
from core.wizard.session import State, StepStatus
from core.wizard.step import Gate

VERSION = 1
"""Raised when a line loses a field or a field changes its meaning; new fields and types do not raise it."""
OUTCOMES = {
    0: "passed",
    1: "failed",
    2: "invalid",
    3: "unreachable",
    4: "timeout",
    5: "gate failed",
    6: "budget reached",
    7: "unknown",
    130: "cancelled",
}
"""Exit code → outcome in a word."""


@dataclass(frozen=True, slots=True)
class StepBegan(Described):
    """A step begins."""

    number: int
    """Its place in the recipe, from 1."""
    title: str
    reason: str
    """Why it runs; empty when it never ran."""


@dataclass(frozen=True, slots=True)
class StepEnded(Described):
    """A step is done, or was done before."""

    state: State
    reason: str
    """Which gates do not hold."""
    seconds: float | None
    """How long it ran; null when it was done before and nothing was repeated."""
    gates: Sequence[Gate]


@dataclass(frozen=True, slots=True)
class StepFacts(Described):
    """Where a step stands."""

    step: str
    state: State
    reason: str
    folder: str | None
    """Where its outputs are."""
    gates: Sequence[Gate]
    summary: Mapping[str, Any] | None
    """What the step found; null until it is done."""


@dataclass(frozen=True, slots=True)
class Ended(Described):
    """The run is over."""

    outcome: Literal[
        "passed", "failed", "invalid", "unreachable", "timeout", "gate failed", "budget reached", "unknown", "cancelled"
    ]
    exit_code: int
    """0 passed, 1 failed, 2 invalid, 3 unreachable, 4 timeout, 5 gate failed, 6 budget reached, 7 unknown, 130 cancelled."""
    message: str
    """Why it did not pass, and what to do; empty when it did."""
    steps: Sequence[StepFacts]
    """All steps in order; empty when no session was opened."""


Event = StepEvent | StepBegan | StepEnded | Ended
TYPES: Mapping[str, type[Any]] = {
    "step began": StepBegan,
    "progress": Progress,
    "log": Log,
    "metric": Metric,
    "cost": Cost,
    "machine cost": MachineCost,
    "notice": Notice,
    "step ended": StepEnded,
    "end": Ended,
}
_NAMES = {declared: name for name, declared in TYPES.items()}


def as_line(event: Event, step: str | None, session: str | None, time: str) -> dict[str, Any]:
    """The object of one line; `time` is ISO 8601 in UTC."""
    name = _NAMES[type(event)]
    body = json.loads(_adapter(name).dump_json(event, by_alias=True, fallback=str))
    return {"type": name, "version": VERSION, "time": time, "session": session, "step": step, **body}


def facts_of(statuses: Sequence[StepStatus]) -> list[StepFacts]:
    """Steps as they stand, for lines and documents."""
    return [
        StepFacts(
            status.step,
            status.state,
            status.reason,
            str(status.folder) if status.folder else None,
            tuple(status.outputs.gates) if status.outputs else (),
            status.outputs.summary if status.outputs else None,
        )
        for status in statuses
    ]


def schema() -> dict[str, Any]:
    """JSON Schema of one line."""
    definitions: dict[str, Any] = {}
    lines = []
    for name, declared in TYPES.items():
        body = _adapter(name).json_schema(mode="serialization", by_alias=True, ref_template="#/$defs/{model}")
        definitions |= body.pop("$defs", {})
        body["properties"] = {**_common(name), **body["properties"]}
        body["required"] = list(body["properties"])
        definitions[declared.__name__] = body
        lines.append({"$ref": f"#/$defs/{declared.__name__}"})
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A line of `calmtune run --json`",
        "oneOf": lines,
        "$defs": definitions,
    }


def _common(type: str) -> dict[str, Any]:
    """What every line has."""
    return {
        "type": {"const": type},
        "version": {"const": VERSION, "description": "Of this schema."},
        "time": {"type": "string", "format": "date-time", "description": "When it happened, in UTC."},
        "session": {"type": ["string", "null"], "description": "Null when no session was opened."},
        "step": {"enum": [*STEP_IDS, None], "description": "Null in the last line."},
    }


@cache
def _adapter(name: str) -> TypeAdapter[Any]:
    return TypeAdapter(TYPES[name])
