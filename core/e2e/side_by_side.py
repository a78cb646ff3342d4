"""A failed test as a difference: what it expects beside what the assistant did, turn by turn."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from core.dialogue.command_text import as_lines
from core.dialogue.events import (
    ActionRan,
    BotSaid,
    Event,
    FlowCancelled,
    FlowCompleted,
    FlowsOffered,
    FlowStarted,
    SlotSet,
)
from core.e2e.assertions import described, place_of
from core.e2e.cases import Check, Turn
from core.e2e.results import TestResult

Mark = Literal["same", "differs", "more", "untried"]
"""same: the check held. differs: it did not; beside it what came instead, if anything did. more: nothing was expected of it.
untried: an earlier difference ended the test."""

_QUIET = ("action_listen", "action_run_slot_rejections", "action_session_start")
_KINDS: dict[str, tuple[type, ...]] = {
    "bot": (BotSaid,),
    "utter": (BotSaid,),
    "bot_uttered": (BotSaid,),
    "slot_was_set": (SlotSet,),
    "flow_started": (FlowStarted,),
    "flow_completed": (FlowCompleted, FlowCancelled),
    "flow_cancelled": (FlowCompleted, FlowCancelled),
    "pattern_clarification_contains": (FlowsOffered,),
    "action_executed": (ActionRan,),
}
"""Check → events that come instead of what it expects."""


@dataclass(frozen=True)
class Line:
    """One thing expected, one that happened, or both."""

    expected: str
    """"" where nothing was expected."""
    actual: str
    """"" where nothing came."""
    mark: Mark


@dataclass(frozen=True)
class SidesOfTurn:
    """A message of the user and what follows it; the first of a test stands before any message."""

    user: str | None
    line: int
    """Of the message in the test's file."""
    commands: tuple[str, ...]
    """As the engine executed them."""
    lines: tuple[Line, ...]

    @property
    def differs(self) -> bool:
        return any(line.mark == "differs" for line in self.lines)


@dataclass(frozen=True)
class Sides:
    """A failed test."""

    turns: tuple[SidesOfTurn, ...]
    note: str
    """Why it could not be played to its end or decided; "" where it could."""

    @property
    def facts(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)


def sides(result: TestResult) -> Sides:
    """Both sides of a failed test; turns that were not played have one side only."""
    failed = {id(failure.check) for failure in result.failures}
    case = result.case
    turns = []
    if opening := _lines(case.opening, result.opening, failed, None):
        turns.append(SidesOfTurn(None, case.line, (), opening))
    for at, turn in enumerate(case.turns):
        record = result.turns[at] if at < len(result.turns) else None
        if record is None:
            lines = tuple(Line(described(check), "", "untried") for check in turn.checks)
            turns.append(SidesOfTurn(turn.user, turn.line, (), lines))
            continue
        lines = _lines(turn.checks, record.events, failed, turn)
        turns.append(SidesOfTurn(turn.user, turn.line, tuple(as_lines(record.commands)), lines))
    return Sides(tuple(turns), result.error or result.undecided or "")


def sides_from(facts: Mapping[str, Any]) -> Sides:
    """What `Sides.facts` made. Raises KeyError and TypeError for anything else."""
    return Sides(
        tuple(
            SidesOfTurn(turn["user"], turn["line"], tuple(turn["commands"]), tuple(Line(**line) for line in turn["lines"]))
            for turn in facts["turns"]
        ),
        facts["note"],
    )


def _lines(
    checks: Sequence[Check], events: Sequence[Event], failed: set[int], turn: Turn | None
) -> tuple[Line, ...]:
    shown = {at: event for at, event in enumerate(events) if _is_shown(event)}
    pairs, marks = _paired(checks, events, shown, failed, turn)
    lines: list[Line] = []
    told: set[int] = set()
    taken = set(pairs.values())

    def others(before: int) -> Iterator[Line]:
        for at in sorted(shown):
            if at < before and at not in told and at not in taken:
                told.add(at)
                yield Line("", happened(shown[at]), "more")

    for number, check in enumerate(checks):
        at = pairs.get(number)
        if at is not None:
            lines += others(at)
        lines.append(Line(described(check), happened(events[at]) if at is not None else "", marks[number]))
    lines += others(len(events))
    return tuple(lines)


def _paired(
    checks: Sequence[Check], events: Sequence[Event], shown: dict[int, Event], failed: set[int], turn: Turn | None
) -> tuple[dict[int, int], list[Mark]]:
    """Number of a check → position of the event that fulfils it or came instead; and the mark of each check."""
    pairs: dict[int, int] = {}
    marks: list[Mark] = []
    stopped = False
    for number, check in enumerate(checks):
        if id(check) in failed:
            marks.append("differs")
            stopped = stopped or (turn is not None and turn.uses_assertions)
        elif stopped:
            marks.append("untried")
        else:
            place = place_of(check, events, turn is not None and turn.uses_assertions)
            marks.append("differs" if place is None and check.kind != "slot_was_set" else "same")
            if place:
                pairs[number] = place - 1
    for number, check in enumerate(checks):  # a value written otherwise, "5" for 5.0, is found by its slot
        if number not in pairs and marks[number] != "untried":
            free = [at for at, event in shown.items() if at not in pairs.values() and _is_instead(check, event)]
            before = max((pairs[earlier] for earlier in range(number) if earlier in pairs), default=-1)
            if free:
                pairs[number] = next((at for at in free if at > before), free[0])
    return pairs, marks


def _is_instead(check: Check, event: Event) -> bool:
    if not isinstance(event, _KINDS.get(check.kind, ())):
        return False
    return not isinstance(event, SlotSet) or event.name == check.value[0]


def _is_shown(event: Event) -> bool:
    if isinstance(event, SlotSet):
        return not event.reset
    if isinstance(event, (FlowStarted, FlowCancelled)):
        return not event.flow.startswith("pattern_")
    if isinstance(event, ActionRan):
        return event.name not in _QUIET
    return isinstance(event, (BotSaid, FlowsOffered))


def happened(event: Event) -> str:
    """An event in the words that checks have for it."""
    if isinstance(event, BotSaid):
        text = event.text or ""
        return f"{event.utter or event.action or 'bot'}: {text}"
    if isinstance(event, SlotSet):
        return f"slot {event.name} = {event.value!r}"
    if isinstance(event, ActionRan):
        return f"{event.name} ran"
    if isinstance(event, FlowsOffered):
        return f"offered {', '.join(event.flows) or 'nothing'}"
    if isinstance(event, (FlowStarted, FlowCompleted, FlowCancelled)):
        ends = {FlowStarted: "started", FlowCompleted: "completed", FlowCancelled: "cancelled"}
        return f"flow {event.flow} {ends[type(event)]}"
    return type(event).__name__

