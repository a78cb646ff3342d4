"""End-to-end tests as values. Both formats (classic steps, assertions) become a list of turns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from core.dialogue.actions import ActionAnswer
from core.errors import Problem

Expectation = Literal[
    "bot",
    "utter",
    "slot_was_set",
    "slot_was_not_set",
    "flow_started",
    "flow_completed",
    "flow_cancelled",
    "pattern_clarification_contains",
    "action_executed",
    "bot_uttered",
    "bot_did_not_utter",
    "generative_response_is_relevant",
    "generative_response_is_grounded",
]
"""The first two exist in classic steps only; slot checks in both; the rest are assertions."""

ANY = object()
"""Stands for "any value" where a slot check gives a name only."""


@dataclass(frozen=True)
class Check:
    """One thing a turn must show.

    `value` by kind: bot → text; utter → response name; slot_was_set / slot_was_not_set → (slot, value or ANY);
    flow_started → ("all" | "any", ids); flow_completed / flow_cancelled → (flow, step id or None);
    pattern_clarification_contains → ("all" | "any", ids); action_executed → action name;
    bot_uttered / bot_did_not_utter → mapping with utter_name, text_matches, buttons (as written);
    generative_* → the mapping as written.
    """

    kind: Expectation
    value: Any
    line: int
    file: str = ""


@dataclass(frozen=True)
class Turn:
    """A user's message and what must follow it."""

    user: str
    line: int
    checks: tuple[Check, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """Test-level metadata overlaid with the step's own."""
    uses_assertions: bool = False
    ordered: bool = False
    """`assertion_order_enabled`."""


@dataclass(frozen=True)
class TestCase:
    """One test, with fixtures and stubs resolved."""

    __test__ = False  # keeps pytest from collecting it

    name: str
    file: str
    """Path relative to the assistant's folder, with forward slashes."""
    line: int
    turns: tuple[Turn, ...]
    opening: tuple[Check, ...] = ()
    """Checks written before the first user step: what session start must show."""
    fixture_slots: Mapping[str, Any] = field(default_factory=dict)
    stubs: Mapping[str, ActionAnswer] = field(default_factory=dict)
    """Stubbed actions for this test; {} when the file stubs nothing."""
    source: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)
    """The test as written (plain data), for passed.yml, train.yaml and the like."""

    @property
    def id(self) -> str:
        """`file::name`, as the recipe writes it."""
        return f"{self.file}::{self.name}"


@dataclass(frozen=True)
class TestFile:
    """One test file: its cases and the parts that must travel with them when they are written elsewhere."""

    __test__ = False

    path: str
    cases: tuple[TestCase, ...]
    fixtures: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    metadata: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    stubs: Mapping[str, Any] = field(default_factory=dict)
    """`stub_custom_actions` as written."""
    stub_lines: Mapping[str, int] = field(default_factory=dict)
    """Where each of them stands."""


@dataclass(frozen=True)
class TestSuite:
    """All test files of a project, in path order. Conftest fixtures are already resolved into the cases."""

    __test__ = False

    files: tuple[TestFile, ...]
    warnings: tuple[Problem, ...] = ()
    """What the files hold that takes no part here."""

    @property
    def cases(self) -> tuple[TestCase, ...]:
        return tuple(case for file in self.files for case in file.cases)
