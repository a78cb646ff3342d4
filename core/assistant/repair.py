"""Default conversation repair: the flows, slots and responses every assistant has unless its owner defines them.

Pattern sets follow the versions assistants are written for; a set is the newest one with the differences of older versions over it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from core.assistant.domain import Domain, Response, Slot
from core.assistant.domain_reader import DomainReader
from core.assistant.flow_reader import read_flows
from core.assistant.flows import Flow
from core.assistant.source import Reader, read_yaml
from core.assistant.support import SUPPORT
from core.errors import Problem, ProblemsError

if TYPE_CHECKING:
    from core.assistant.project import Assistant

PatternSet = Literal["newest", "3.14", "3.13"]
"""newest: 3.15 and later; 3.13: that version and those before."""

PatternChoice = Literal["auto", PatternSet]
"""auto follows what the tests and the domain mention."""

_FILES: dict[PatternSet, tuple[str, ...]] = {
    "newest": ("newest",),
    "3.14": ("newest", "3.14"),
    "3.13": ("newest", "3.14", "3.13"),
}
_FOLDER = Path(__file__).parent / "patterns"

DEFAULT_ACTION_NAMES = frozenset(SUPPORT["default action"])
"""Actions that flows may name without the owner defining them."""


@dataclass(frozen=True)
class Defaults:
    """What a pattern set defines."""

    flows: dict[str, Flow]
    slots: dict[str, Slot]
    responses: dict[str, Response]


@cache
def defaults(patterns: PatternSet = "newest") -> Defaults:
    """The parts of a pattern set."""
    problems: list[Problem] = []
    flows: dict[str, Flow] = {}
    domain = DomainReader(problems)
    for name in _FILES[patterns]:
        file = f"{name}.yml"
        content = read_yaml(_FOLDER / file, file)
        flows.update((flow.id, flow) for flow in read_flows(content, Reader(file, problems)))
        del content["flows"]
        domain.add(content, file)
    if problems:
        raise ProblemsError(problems)
    return Defaults(flows, dict(domain.domain.slots), dict(domain.domain.responses))


def version(patterns: PatternSet) -> str:
    """A pattern set as people name it."""
    return {"newest": "3.15 and later", "3.14": "3.14", "3.13": "3.13 and before"}[patterns]


def with_default_patterns(assistant: Assistant, patterns: PatternSet = "newest") -> Assistant:
    """The assistant with everything it takes for granted; what the owner defines stands."""
    own, given = assistant.domain, defaults(patterns)
    domain: Domain = replace(own, slots={**given.slots, **own.slots}, responses={**given.responses, **own.responses})
    return replace(assistant, flows={**given.flows, **assistant.flows}, domain=domain)
