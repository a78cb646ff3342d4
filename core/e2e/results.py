"""What running a test gave."""

from __future__ import annotations

from dataclasses import dataclass, field

from core.dialogue.commands import Command
from core.dialogue.events import Event
from core.dialogue.source import Prediction
from core.e2e.cases import Check, TestCase, Turn


@dataclass(frozen=True)
class TurnRecord:
    """One user turn as it was played."""

    turn: Turn
    prediction: Prediction | None
    """None for payload messages, which no source is asked about."""
    commands: tuple[Command, ...]
    """Commands after clean-up, as the engine executed them."""
    events: tuple[Event, ...]
    """Everything that happened in the turn, the user's message first."""


@dataclass(frozen=True)
class Failure:
    """The check that did not hold."""

    check: Check
    line: int
    message: str
    """A sentence: what was expected, what came instead."""
    difference: tuple[str, ...] = ()
    """Lines beginning with " " (as expected), "+" (expected), "-" (actual)."""


@dataclass(frozen=True)
class TestResult:
    """Verdict on one test."""

    __test__ = False

    case: TestCase
    passed: bool
    turns: tuple[TurnRecord, ...] = ()
    opening: tuple[Event, ...] = ()
    """Events of the session start."""
    failures: tuple[Failure, ...] = ()
    skipped_checks: int = 0
    """Assertions after the first failing one."""
    undecided: str | None = None
    """Why commands could not be inferred (then `passed` is False); None otherwise."""
    error: str | None = None
    """Why the test could not be run to its end (provider down, broken action); None otherwise."""
    unanswered: bool = False
    """The error is that a language model could not be asked: it says nothing about the assistant."""
    visited: frozenset[tuple[str, str]] = field(default_factory=frozenset)
    """(flow id, step id) pairs passed."""
    assertion_counts: tuple[tuple[str, int, int], ...] = ()
    """(kind, passed, failed) for assertion tests."""
    warnings: tuple[str, ...] = ()
    """Oddities the engine met, each once."""

    @property
    def commands(self) -> tuple[Command, ...]:
        return tuple(command for record in self.turns for command in record.commands)
