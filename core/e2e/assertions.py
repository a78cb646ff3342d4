"""Judging a turn: do its checks hold, given what happened?

Classic checks: order does not matter, extra events are ignored, bot texts must be equal. Assertions: any message of
the turn may fulfil `bot_uttered`; with `assertion_order_enabled` each search begins after the previous match; the first
failing assertion ends the judgement. Values are compared as the slot's type reads them: "5" is 5.0 to a float slot, but
not to a slot of type any. Assertions that need a judging language model are not decided here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from core.assistant import matching
from core.assistant.domain import Domain
from core.assistant.matching import BadPattern, SlowPattern
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
from core.dialogue.tracker import Tracker
from core.dialogue.values import same
from core.e2e.cases import ANY, Check, Turn
from core.e2e.results import Failure
from core.errors import Problem, ProblemsError

NEEDS_JUDGE = ("generative_response_is_relevant", "generative_response_is_grounded")


@dataclass(frozen=True)
class Judgement:
    """Outcome of one turn's checks."""

    failures: tuple[Failure, ...]
    passed: tuple[Check, ...]
    skipped: tuple[Check, ...]
    """Assertions after the first failing one, and those that need a judging model."""


def judge(
    checks: Sequence[Check], events: Sequence[Event], tracker: Tracker, domain: Domain, turn: Turn | None = None
) -> Judgement:
    """Check a turn (None for the greeting) against its events; `tracker` is the conversation after it.

    Raises ProblemsError for a `text_matches` that takes too long.
    """
    uses_assertions = turn is not None and turn.uses_assertions
    failures: list[Failure] = []
    passed: list[Check] = []
    skipped: list[Check] = []
    start = 0
    for check in checks:
        if check.kind in NEEDS_JUDGE or (failures and uses_assertions):
            skipped.append(check)
            continue
        matcher = _Matcher(events[start:], tracker, domain, uses_assertions)
        at = matcher.find(check)
        if at is None:
            failures.append(_failure(check, matcher))
            continue
        passed.append(check)
        if turn is not None and turn.ordered:
            start += at
    return Judgement(tuple(failures), tuple(passed), tuple(skipped))


def failures_of(turn: Turn, events: Sequence[Event], tracker: Tracker, domain: Domain) -> tuple[Failure, ...]:
    """Only the failures of `judge`."""
    return judge(turn.checks, events, tracker, domain, turn).failures


def place_of(check: Check, events: Sequence[Event], assertions: bool) -> int | None:
    """Events up to and including the first that fulfils a check; 0 where none is needed, None where none does.

    Without a domain: values are compared as they are.
    """
    if check.kind in NEEDS_JUDGE:
        return 0
    return _Matcher(events, Tracker({}), Domain(), assertions).find(check)


class _Matcher:
    def __init__(self, events: Sequence[Event], tracker: Tracker, domain: Domain, assertions: bool) -> None:
        self.events, self.tracker, self.domain, self.assertions = events, tracker, domain, assertions

    def find(self, check: Check) -> int | None:
        """Events up to and including the one that fulfils the check (0 when none is needed); None when nothing does."""
        finder = getattr(self, f"_{check.kind}")
        try:
            found: int | None = finder(check.value)
        except SlowPattern as error:
            raise ProblemsError([Problem(check.file, check.line, f"in {check.kind} {error}")]) from error
        return found

    def _first(self, matches: Any) -> int | None:
        return next((at for at, event in enumerate(self.events, 1) if matches(event)), None)

    def _bot(self, text: str) -> int | None:
        return self._first(
            lambda event: isinstance(event, BotSaid) and event.text is not None and _same_text(event.text, text)
        )

    def _utter(self, name: str) -> int | None:
        return self._first(lambda event: isinstance(event, BotSaid) and event.utter == name)

    def _slot_was_set(self, value: tuple[str, Any]) -> int | None:
        name, expected = value
        found = self._first(lambda event: self._sets(event, name, expected))
        if found is None and expected is None and self.assertions and self.tracker.slots.get(name) is None:
            return 0
        return found

    def _slot_was_not_set(self, value: tuple[str, Any]) -> int | None:
        name, unwanted = value
        if self.assertions and unwanted is ANY:
            return 0 if self.tracker.slots.get(name) is None else None
        return None if self._first(lambda event: self._sets(event, name, unwanted)) is not None else 0

    def _sets(self, event: Event, name: str, expected: Any) -> bool:
        if not isinstance(event, SlotSet) or event.name != name or (event.reset and expected is not None):
            return False
        if expected is ANY:
            return True
        slot = self.domain.slots.get(name)
        return same(slot, event.value, expected) if slot is not None else bool(event.value == expected)

    def _flow_started(self, value: tuple[str, tuple[str, ...]]) -> int | None:
        operator, flows = value
        places = [self._first(lambda event, flow=flow: event == FlowStarted(flow)) for flow in flows]
        return _combined(operator, places)

    def _flow_completed(self, value: tuple[str, str | None]) -> int | None:
        return self._ended(FlowCompleted, value)

    def _flow_cancelled(self, value: tuple[str, str | None]) -> int | None:
        return self._ended(FlowCancelled, value)

    def _ended(self, kind: type[FlowCompleted] | type[FlowCancelled], value: tuple[str, str | None]) -> int | None:
        flow, step = value
        return self._first(lambda event: isinstance(event, kind) and event.flow == flow and step in (None, event.step))

    def _pattern_clarification_contains(self, value: tuple[str, tuple[str, ...]]) -> int | None:
        operator, flows = value
        combine = all if operator == "all" else any
        return self._first(
            lambda event: isinstance(event, FlowsOffered) and combine(flow in event.flows for flow in flows)
        )

    def _action_executed(self, name: str) -> int | None:
        return self._first(
            lambda event: (
                event == ActionRan(name)
                or (isinstance(event, BotSaid) and event.utter == name and event.action is None)
            )
        )

    def _bot_uttered(self, wanted: dict[str, Any]) -> int | None:
        return self._first(lambda event: isinstance(event, BotSaid) and _fulfils(event, wanted))

    def _bot_did_not_utter(self, unwanted: dict[str, Any]) -> int | None:
        return 0 if self._bot_uttered(unwanted) is None else None


def _combined(operator: str, places: list[int | None]) -> int | None:
    found = [place for place in places if place is not None]
    if operator == "any":
        return min(found, default=None)
    return max(found) if found and len(found) == len(places) else None


def _fulfils(message: BotSaid, wanted: dict[str, Any]) -> bool:
    if (name := wanted.get("utter_name")) is not None and message.utter != name:
        return False
    if (pattern := wanted.get("text_matches")) is not None and not _text_matches(message.text or "", str(pattern)):
        return False
    buttons = wanted.get("buttons")
    if buttons is None:
        return True
    return len(buttons) == len(message.buttons) and all(
        str(expected.get("title", actual.title)) == actual.title
        and str(expected.get("payload", actual.payload)) == actual.payload
        for expected, actual in zip(buttons, message.buttons, strict=True)
    )


def _text_matches(text: str, pattern: str) -> bool:
    """The text contains the pattern literally, or matches it as a regular expression anywhere."""
    if pattern in text:
        return True
    try:
        return matching.pattern(pattern).is_in(text)
    except SlowPattern:
        raise
    except BadPattern:
        return False


def _same_text(actual: str, expected: str) -> bool:
    return "\n".join(map(str.rstrip, actual.strip().splitlines())) == "\n".join(
        map(str.rstrip, expected.strip().splitlines())
    )


def _failure(check: Check, matcher: _Matcher) -> Failure:
    expected, actual = described(check), _what_happened(check, matcher)
    message = f"expected {expected}, but {' and '.join(actual[:4]) if actual else 'nothing of the kind happened'}"
    return Failure(check, check.line, message, (f"+ {expected}", *(f"- {line}" for line in actual)))


def described(check: Check) -> str:
    """A check in one line, as in `slot_was_set street = 'Elm Road 4'`."""
    value = check.value
    if check.kind in ("slot_was_set", "slot_was_not_set"):
        return f"{check.kind} {value[0]}" + ("" if value[1] is ANY else f" = {value[1]!r}")
    if check.kind in ("flow_started", "pattern_clarification_contains"):
        return f"{check.kind} {', '.join(value[1])}" + (" (any)" if value[0] == "any" else "")
    if check.kind in ("flow_completed", "flow_cancelled"):
        return f"{check.kind} {value[0]}" + (f" at step {value[1]}" if value[1] else "")
    if isinstance(value, dict):
        return f"{check.kind} " + ", ".join(f"{key}: {item}" for key, item in value.items())
    return f"{check.kind}: {value}"


def _what_happened(check: Check, matcher: _Matcher) -> list[str]:
    """Events of the kind the check is about, as lines."""
    if check.kind in ("bot", "utter", "bot_uttered", "bot_did_not_utter"):
        return [
            f"{event.utter or event.action or 'the bot'} said {event.text!r}"
            for event in matcher.events
            if isinstance(event, BotSaid)
        ]
    if check.kind in ("slot_was_set", "slot_was_not_set"):
        name = check.value[0]
        if name not in matcher.domain.slots:
            return [f"slot {name} is not in the domain"]
        return [
            f"{event.name} became {event.value!r}"
            for event in matcher.events
            if isinstance(event, SlotSet) and event.name == name
        ]
    if check.kind == "action_executed":
        return [f"{event.name} ran" for event in matcher.events if isinstance(event, ActionRan)]
    if check.kind == "flow_started":
        return [f"{event.flow} started" for event in matcher.events if isinstance(event, FlowStarted)]
    if check.kind in ("flow_completed", "flow_cancelled"):
        ends = (FlowCompleted, FlowCancelled)
        return [
            f"{event.flow} was {'completed' if isinstance(event, FlowCompleted) else 'cancelled'} at step {event.step}"
            for event in matcher.events
            if isinstance(event, ends)
        ]
    return [
        f"{', '.join(event.flows) or 'nothing'} was offered"
        for event in matcher.events
        if isinstance(event, FlowsOffered)
    ]
