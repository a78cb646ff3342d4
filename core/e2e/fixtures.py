"""Fixtures that do not fit the assistant: slots it does not have, values they cannot hold."""

from __future__ import annotations

from collections.abc import Iterator

from core.assistant.domain import Domain
from core.dialogue.values import acceptable
from core.e2e.cases import TestSuite
from core.errors import Problem
from core.near import near

_RESERVED = ("mocked_datetime",)


def odd_fixtures(suite: TestSuite, domain: Domain) -> Iterator[Problem]:
    """A warning for each fixture value of a test that no conversation could have put there; `domain` with default patterns."""
    for case in suite.cases:
        for name, value in case.fixture_slots.items():
            slot = domain.slots.get(name)
            if slot is None and name not in _RESERVED:
                hint = near(name, domain.slots)
                message = f"the fixtures of test {case.name!r} set {name}, which is no slot of the domain{hint}"
                yield Problem(case.file, case.line, message, "warning")
            elif slot is not None and not acceptable(slot, value):
                message = (
                    f"the fixtures of test {case.name!r} set {name} to {value!r}, which is no value of type {slot.type}"
                )
                yield Problem(case.file, case.line, message, "warning")
