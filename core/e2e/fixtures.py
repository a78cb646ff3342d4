"""Fixtures and stubs that do not fit: slots the assistant does not have, values they cannot hold, names of nothing."""

from __future__ import annotations

from collections.abc import Iterator

from core.assistant.domain import Domain
from core.dialogue.values import acceptable
from core.e2e.cases import TestSuite
from core.errors import Problem
from core.near import near

_RESERVED = ("mocked_datetime",)


def odd_preparations(suite: TestSuite, domain: Domain) -> Iterator[Problem]:
    """A warning for each fixture value that no conversation could have put there, and for each stub that nothing uses, as it is for a test
    that its file does not have, or misspells an action; `domain` with default patterns."""
    yield from _odd_fixtures(suite, domain)
    yield from _odd_stubs(suite, domain)


def _odd_stubs(suite: TestSuite, domain: Domain) -> Iterator[Problem]:
    for file in suite.files:
        names = [case.name for case in file.cases]
        for key, line in file.stub_lines.items():
            test, separator, action = key.rpartition("::")
            if separator and test not in names:
                message = f"the stub {key} is for test {test!r}, which this file does not have{near(test, names)}"
                yield Problem(file.path, line, message, "warning")
            if action not in domain.actions and (hint := near(action, domain.actions)):
                yield Problem(file.path, line, f"the stub {key} is for no action of the domain{hint}", "warning")


def _odd_fixtures(suite: TestSuite, domain: Domain) -> Iterator[Problem]:
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
