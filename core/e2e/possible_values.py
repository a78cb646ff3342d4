"""Values to try for a slot: those its type and the assistant's conditions tell apart, the plainest first."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from core.assistant.conditions import ConditionError, Predicate, tokens
from core.assistant.flows import CollectStep, Flow
from core.assistant.project import Assistant
from core.e2e.example_text import example

_SLOT = re.compile(r"\bslots\.(\w[\w-]*)")
_NUMBERS = (1.0, 0.0, 1000.0)
"""For a number that no condition compares with a constant."""


class PossibleValues:
    """Values by slot, for one assistant with its default patterns."""

    def __init__(self, assistant: Assistant) -> None:
        self._slots = assistant.domain.slots
        self._constants: dict[str, dict[Any, None]] = defaultdict(dict)
        conditions = [condition for flow in assistant.flows.values() for condition in conditions_of(flow)]
        conditions += [rejection.condition for slot in self._slots.values() for rejection in slot.rejections]
        for condition in conditions:
            names = slots_in(condition)
            for constant in _constants(condition.source):
                for name in names:
                    self._constants[name][constant] = None

    def of(self, name: str) -> tuple[Any, ...]:
        """Values for a slot; a text of its own name where any text will do."""
        slot = self._slots[name]
        constants = list(self._constants[name])
        if slot.type == "bool":
            return (True, False)
        if slot.type == "categorical":
            return slot.values
        if slot.type == "float":
            bounds = [value for value in constants if isinstance(value, float)]
            near = [bound + step for bound in bounds for step in (0.0, 1.0, -1.0)]
            return tuple(dict.fromkeys((*near, *_NUMBERS)))
        if slot.type == "list":
            return ([name], *([value] for value in constants))
        values = constants if slot.type == "any" else [value for value in constants if isinstance(value, str)]
        return tuple(dict.fromkeys((name.replace("_", " "), *values, *(("1",) if values else ()))))


def conditions_of(flow: Flow) -> Iterator[Predicate]:
    """Every condition of a flow: its guard, those of branches and rejections."""
    if flow.guard is not None:
        yield flow.guard
    for step in flow.steps:
        yield from (branch.condition for branch in step.next if branch.condition is not None)
        if isinstance(step, CollectStep):
            yield from (rejection.condition for rejection in step.rejections)


def slots_in(condition: Predicate) -> tuple[str, ...]:
    """Names of the slots that a condition speaks of, templates included."""
    return tuple(dict.fromkeys(_SLOT.findall(condition.source)))


def _constants(source: str) -> Iterator[Any]:
    try:
        found = list(tokens(source))
    except ConditionError:
        return
    for at, (kind, text, _) in enumerate(found):
        if kind == "number":
            yield float(text)
        elif kind == "regex" or (kind == "string" and at and found[at - 1][1].casefold() == "matches"):
            pattern = text[1:-1] if kind == "string" else text[1 : text.rindex("/")]
            if (matching := example(pattern)) is not None:
                yield matching
        elif kind == "string":
            yield text[1:-1]


def whole(value: Any) -> Any:
    """A whole number without its decimals, as people write it."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def as_written(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values as a test file has them."""
    return {name: whole(value) for name, value in values.items()}
