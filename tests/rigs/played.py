"""Tests played by hand: a script of messages and commands becomes a test result, as the runner would have it."""

from __future__ import annotations

from collections.abc import Sequence

from core.dialogue.commands import Command
from core.dialogue.engine import Engine
from core.dialogue.events import StepVisited, UserSaid
from core.dialogue.source import Prediction, UserMessage
from core.e2e.cases import TestCase, Turn
from core.e2e.results import TestResult, TurnRecord

Script = Sequence[tuple[str, Sequence[Command]]]


def play(
    engine: Engine,
    script: Script,
    name: str = "a test",
    file: str = "e2e_tests/all.yml",
    fixture_slots: dict[str, object] | None = None,
    metadata: dict[str, object] | None = None,
) -> TestResult:
    """Play (message, commands) pairs; those of a payload message are read from it."""
    turns = tuple(Turn(text, line=at, metadata=metadata or {}) for at, (text, _) in enumerate(script, 1))
    case = TestCase(name, file, 1, turns, fixture_slots=fixture_slots or {})
    tracker = engine.new_tracker()
    opening = engine.start(tracker)
    tracker.slots.update(case.fixture_slots)
    records = []
    for turn, (text, commands) in zip(turns, script, strict=True):
        payload = engine.payload_commands(text)
        events = engine.handle(tracker, UserMessage(text, turn.metadata), commands if payload is None else payload)
        said = next(event for event in events if isinstance(event, UserSaid))
        prediction = Prediction(tuple(commands)) if payload is None else None
        records.append(TurnRecord(turn, prediction, said.commands, tuple(events)))
    happened = [*opening, *(event for record in records for event in record.events)]
    visited = frozenset((event.flow, event.step) for event in happened if isinstance(event, StepVisited))
    return TestResult(case, True, tuple(records), tuple(opening), visited=visited)
