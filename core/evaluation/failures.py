"""Failed tests as values, counted by cause, flow and command, with what to do about them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal

Cause = Literal[
    "wrong flow",
    "missed slot",
    "wrong value",
    "invented slot",
    "invalid command",
    "wrong command",
    "same commands",
    "not known",
]
"""wrong flow: another was started, or none, or one too many. missed slot, invented slot: one too few or too many was set. wrong value: of
the right slot. invalid command: the answer holds no command, or something unreadable, or a flow or slot that does not exist. wrong
command: of another kind, e.g. cancel flow for clarify. same commands: as expected up to where the test broke. not known: no commands are
recorded, or the test could not be run to its end."""

NO_FLOW = "no flow"
"""Stands in counts for failures outside of all flows."""


@dataclass(frozen=True)
class FailedTest:
    """One failed test, and the first turn where it went wrong."""

    test: str
    """Id: `file::name`."""
    cause: Cause
    flow: str
    """The business flow that was expected to start, else the active one; "" outside of all flows."""
    command: str
    """Label of the command in question, the expected one where there is one; "" when commands were not the cause."""
    slot: str
    """Slot in question; "" where it was none."""
    value: str
    """Its expected value, for an invented slot the predicted one."""
    turn: int
    """User turn, from 1; 0 before the first one."""
    line: int
    """Of the user's message in the test's file; of the test where there was none."""
    user: str
    """What the user said."""
    expected: str | None
    """Commands, one a line; None when not known."""
    predicted: str | None
    """The model's answer as it wrote it; None when it was not asked."""
    conversation: tuple[str, ...]
    """`USER: …` and `AI: …` up to there, the message last."""
    reason: str
    """What the test complains about: its first failing check, or the error that ended it."""

    @property
    def facts(self) -> dict[str, Any]:
        """JSON-ready: every field by its name."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {**values, "conversation": list(self.conversation)}


@dataclass(frozen=True)
class FailureGroups:
    """Failed tests counted, most frequent first."""

    failures: tuple[FailedTest, ...]
    causes: Mapping[str, int]
    flows: Mapping[str, int]
    """By flow id, or NO_FLOW."""
    commands: Mapping[str, int]
    """By label of the command in question, where commands were the cause."""
    next_step: str
    """What to do about it, in one sentence; "" when nothing failed."""

    @property
    def facts(self) -> dict[str, Any]:
        """JSON-ready: `failed` (how many), `causes`, `flows`, `commands` (name → count), `next_step`, `cases` (facts of each)."""
        return {
            "failed": len(self.failures),
            "causes": dict(self.causes),
            "flows": dict(self.flows),
            "commands": dict(self.commands),
            "next_step": self.next_step,
            "cases": [failure.facts for failure in self.failures],
        }


def group(failures: Iterable[FailedTest], learnt: Collection[str] = ()) -> FailureGroups:
    """Count failures. `learnt` has the ids of tests whose rows the model was trained on: where those fail too, more tests are no help."""
    failures = tuple(failures)
    return FailureGroups(
        failures,
        _counted(failure.cause for failure in failures),
        _counted(failure.flow or NO_FLOW for failure in failures),
        _counted(failure.command for failure in failures if failure.command),
        _next_step(failures, learnt),
    )


def _counted(names: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(names).items(), key=lambda pair: (-pair[1], pair[0])))


# What to do next

_MOST_NAMED = 3
_LONGEST_MESSAGE = 60


def _next_step(failures: Sequence[FailedTest], learnt: Collection[str]) -> str:
    """On the most frequent cause, among equals the first by name; what the model did wrong goes before what it did not."""
    if not failures:
        return ""
    by_model = [failure for failure in failures if failure.cause not in ("same commands", "not known")]
    unlearnt = [failure for failure in by_model if failure.test in learnt]
    if unlearnt and 2 * len(unlearnt) >= len(by_model):
        share = _share(len(unlearnt), by_model)
        return f"train on more rows or for more epochs{_where(unlearnt, ', most of all for ')}: {share} are ones it learnt from"
    counts = _counted(failure.cause for failure in by_model or failures)
    cause = next(iter(counts))
    those = [failure for failure in failures if failure.cause == cause]
    return _ADVICE[cause](those, _share(len(those), failures))


def _wrong_flow(those: Sequence[FailedTest], share: str) -> str:
    return f"write more tests{_where(those, ' of ')}, {_like(those)}: in {share} another flow was started, or none, or one too many"


def _missed_slot(those: Sequence[FailedTest], share: str) -> str:
    return f"write more tests in which users give {_slots(those)}, {_like(those, value=True)}: {share} failed on a slot left out"


def _wrong_value(those: Sequence[FailedTest], share: str) -> str:
    return (
        f"write more tests with values of {_slots(those)}, {_like(those, value=True)}: in {share} the value was another"
    )


def _invented_slot(those: Sequence[FailedTest], share: str) -> str:
    return (
        f"write more tests in which users do not give {_slots(those)}, {_like(those)}: in {share} the value was made up"
    )


def _invalid_command(those: Sequence[FailedTest], share: str) -> str:
    return f"train on more rows or for more epochs: in {share} the answer was no valid command, {_like(those, answer=True)}"


def _wrong_command(those: Sequence[FailedTest], share: str) -> str:
    labels = _named(_counted(failure.command for failure in those))
    return f"write more tests with {labels}{_where(those, ' in ')}, {_like(those)}: in {share} a command of another kind was written"


def _same_commands(those: Sequence[FailedTest], share: str) -> str:
    first = those[0]
    return f"look at what the tests expect: in {share} the commands were right, e.g. {first.test}: {first.reason}"


def _not_known(those: Sequence[FailedTest], share: str) -> str:
    first = those[0]
    return f"look at {first.test} first: in {share} nothing tells which commands were wrong; {first.reason}"


_ADVICE: dict[str, Callable[[Sequence[FailedTest], str], str]] = {
    "wrong flow": _wrong_flow,
    "missed slot": _missed_slot,
    "wrong value": _wrong_value,
    "invented slot": _invented_slot,
    "invalid command": _invalid_command,
    "wrong command": _wrong_command,
    "same commands": _same_commands,
    "not known": _not_known,
}


def _share(number: int, failures: Sequence[FailedTest]) -> str:
    total = len(failures)
    return f"{number} of {total} failed test{'' if total == 1 else 's'}"


def _where(failures: Sequence[FailedTest], before: str) -> str:
    flows = _counted(failure.flow for failure in failures if failure.flow)
    return f"{before}flow{'s' if len(flows) > 1 else ''} {_named(flows)}" if flows else ""


def _slots(failures: Sequence[FailedTest]) -> str:
    slots = _counted(failure.slot for failure in failures)
    return f"slot{'s' if len(slots) > 1 else ''} {_named(slots)}{_where(failures, ' in ')}"


def _named(counts: Iterable[str]) -> str:
    """The first few names, in their order."""
    names = list(counts)
    more = len(names) - _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def _like(failures: Sequence[FailedTest], value: bool = False, answer: bool = False) -> str:
    """The messages to learn from, each once, with the value they hold or the answer they got."""
    examples = []
    for failure in failures:
        example = f'"{_short(failure.user)}"'
        example += f" ({failure.slot} {_short(failure.value)})" if value else ""
        example += f' ("{_short(failure.predicted or "")}")' if answer else ""
        examples.append(example)
    return f"such as {_named(_counted(examples))}"


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST_MESSAGE else f"{line[: _LONGEST_MESSAGE - 1]}…"
