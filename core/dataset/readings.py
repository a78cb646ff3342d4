"""What a message may mean where a conversation stands: lists of commands with costs, the likeliest first.

An *opening* is what a message does besides giving values (start a flow, cancel, nothing of the kind); a *reading* is an opening with
values for the slots that may be filled then. Readings that leave a clear value unused cost more, so that nothing the user said is lost;
so do two slots filled from the same words.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, product
from typing import Any

from core.dataset.candidates import CLEAR, OTHER_CASE, Candidate, repeated, values
from core.dataset.expectations import Expectations
from core.dataset.knowledge import Knowledge
from core.dataset.language import CORRECTION, doubt
from core.dialogue.cleanup import startable
from core.dialogue.commands import (
    CancelFlow,
    CannotHandle,
    ChitChat,
    Clarify,
    Command,
    HumanHandoff,
    RepeatMessage,
    SearchAndReply,
    SetSlot,
    SkipQuestion,
    StartFlow,
)
from core.dialogue.default_actions import TYPE_REJECTIONS
from core.dialogue.stack import active_frames
from core.dialogue.tracker import Tracker
from core.e2e.cases import Turn

UNEXPECTED_FLOW = 1.5
"""Cost of starting a flow that cannot do what the turn expects."""
UNUSED_VALUE = 0.2
"""Cost of leaving a value unused that the words show."""
NOT_ASKED = 0.05
"""Cost of taking for another slot the words that would do for the one asked for."""
UNLIKE = 0.15
"""Cost of correcting a value by one of another make."""
UNWANTED_VALUE = 1.0
"""Cost of a value that the checks speak against."""
SAME_WORDS = 0.6
"""Cost of filling a second slot from the same words."""
EACH_VALUE = 0.05
NO_OPTIONS = "utter_clarification_no_options_rasa"
BEAM = 12
"""Assignments of values to slots followed at once."""
MENTIONED = 0.3
"""From this likeness on, a flow is considered together with one that can do what the turn expects."""
STARTED_AGAIN = 0.15
"""Cost of starting a flow that is in progress."""
ASKED_ABOUT = 0.3
"""Cost of starting a flow that the bot has just asked whether to go back to: an answer is likelier."""
LIKELY_STARTS = 5
"""Flows that are considered together with another one, or as options."""


@dataclass(frozen=True)
class Reading:
    """Commands for a turn and what they cost."""

    commands: tuple[Command, ...]
    cost: float


@dataclass(frozen=True)
class _Assignment:
    commands: tuple[SetSlot, ...] = ()
    taken: tuple[tuple[int, int], ...] = ()
    unused: tuple[tuple[int, int], ...] = ()
    """Parts of the message that clearly are values of slots left out."""
    cost: float = 0.0


def least_cost(known: Knowledge, turn: Turn, expected: Expectations) -> float:
    """What the cheapest reading of a turn may cost, wherever the conversation stands then."""
    likeness = max(known.likeness(turn.user).values(), default=0.0)
    clarifies = bool(expected.clarified) or NO_OPTIONS in expected.utterances
    return 1.0 + min(EACH_VALUE, 0.5 * (1.0 - likeness), doubt(CancelFlow, turn.user), 0.0 if clarifies else EACH_VALUE)


class Listener:
    """Understands one turn after a given conversation."""

    def __init__(self, known: Knowledge, turn: Turn, expected: Expectations, tracker: Tracker) -> None:
        self.known, self.index = known, known.index
        self.turn, self.expected, self.tracker = turn, expected, tracker
        self.asked = self.index.asked_step(tracker.stack)
        self.in_flow = bool(active_frames(tracker.stack))
        self.corrects = "utter_corrected_previous_input" in expected.utterances or bool(CORRECTION.search(turn.user))
        frames = active_frames(tracker.stack) if self.index.resumes_flows else tracker.stack
        self._in_progress = dict.fromkeys(frame.flow for frame in frames)
        """Flows that a start would not change."""
        self._candidates: dict[str, list[Candidate]] = {}

    # Openings

    def openings(self) -> Iterator[Reading]:
        """What the message may do besides giving values, the cheapest first; made one by one, as flows may be many."""
        starts, cancelling = self.starts(), 0.3 + 2 * doubt(CancelFlow, self.turn.user)
        started = (Reading((StartFlow(flow),), cost) for flow, cost in starts)
        instead = (Reading((CancelFlow(), StartFlow(flow)), cost + cancelling) for flow, cost in starts if self.in_flow)
        others = sorted(self._other_openings(starts), key=_reading_cost)
        return heapq.merge(started, instead, others, key=_reading_cost)

    def _other_openings(self, starts: Sequence[tuple[str, float]]) -> Iterator[Reading]:
        message = self.turn.user
        if self.index.fillable(self.tracker.stack):
            yield Reading((), 1.0)
        # A flow that can do what the turn expects costs this much even when no word of the message is its own.
        likely = [pair for pair in starts if pair[1] <= UNEXPECTED_FLOW][:LIKELY_STARTS]
        likeness = self.known.likeness(message)
        besides = [(flow, cost - UNEXPECTED_FLOW) for flow, cost in starts if likeness.get(flow, 0.0) >= MENTIONED]
        # A flow that waits until the other has ended does nothing in this turn.
        pairs = [*combinations(likely, 2), *product(likely, [pair for pair in besides if pair[1] > 0][:LIKELY_STARTS])]
        for (one, first), (other, second) in pairs:
            ordered = (one, other) if self._place(one) <= self._place(other) else (other, one)
            yield Reading(tuple(StartFlow(flow) for flow in ordered), first + second - 0.4)
        if self.in_flow or self.asked is not None:
            yield Reading((CancelFlow(),), 1.0 + doubt(CancelFlow, message) + (0.15 if self._is_plain_no() else 0.0))
        if self.asked is not None:
            yield Reading((SkipQuestion(),), 1.1 + doubt(SkipQuestion, message))
        for command in (SearchAndReply(), ChitChat(), HumanHandoff(), RepeatMessage()):
            yield Reading((command,), 1.1 + doubt(type(command), message))
        yield from self._starts_again()
        yield from self._clarifications([flow for flow, _ in starts])
        yield Reading((CannotHandle(),), 2.0)

    def _is_plain_no(self) -> bool:
        """True when the message clearly answers a yes-or-no question in the negative."""
        if self.asked is None or self.index.slots[self.asked.slot].type != "bool":
            return False
        best = self.candidates(self.asked.slot)[0]
        return best.value is False and best.cost <= CLEAR

    def starts(self) -> list[tuple[str, float]]:
        """Flows that may be started, the likeliest first."""
        fitting: set[str] | None = None
        if self.expected.started:
            fitting = {flow for flow, reached in self.known.reached.items() if self.expected.started & reached}
        else:
            sayers = [self.known.said_by[name] for name in self.expected.utterances if name in self.known.said_by]
            more = self.known.acting if self.expected.says_more else frozenset()
            fitting = set().union(more, *sayers) if sayers else None
        likeness = self.known.likeness(self.turn.user)
        costs = []
        active = {frame.flow for frame in active_frames(self.tracker.stack)}
        offered = frozenset(self._offered().values())
        for flow in self.known.startable:
            if flow not in active and startable(flow, self.tracker, self.index):
                named = 0.05 if self.expected.started and flow not in self.expected.started else 0.0
                unexpected = UNEXPECTED_FLOW if fitting is not None and flow not in fitting else named
                unexpected += ASKED_ABOUT if flow in offered else 0.0
                costs.append((flow, 1.0 + 0.5 * (1.0 - likeness.get(flow, 0.0)) + unexpected))
        return sorted(costs, key=lambda pair: pair[1])

    def _place(self, flow: str) -> int:
        """Where the first word that a flow shares with the message stands."""
        return next(
            (at for at, word in enumerate(self.turn.user.split()) if flow in self.known.likeness(word)),
            len(self.turn.user),
        )

    def _starts_again(self) -> Iterator[Reading]:
        """Flows in progress that the message names again: nothing comes of it but the open question."""
        likeness = self.known.likeness(self.turn.user)
        for flow in self._in_progress:
            if flow in likeness and startable(flow, self.tracker, self.index):
                yield Reading((StartFlow(flow),), 1.0 + 0.5 * (1.0 - likeness[flow]) + STARTED_AGAIN)

    def _offered(self) -> dict[str, str]:
        """Names of the flows that the bot has just asked whether to go back to, with their ids."""
        context = self.tracker.stack[-1].context if self.tracker.stack else {}
        return dict(
            zip(context.get("interrupted_flow_names", ()), context.get("interrupted_flow_ids", ()), strict=True)
        )

    def _clarifications(self, starts: Sequence[str]) -> Iterator[Reading]:
        named = self.expected.clarified
        if NO_OPTIONS in self.expected.utterances:
            yield Reading((Clarify(),), 1.0)
        if len(named) > 1:
            yield Reading((Clarify(named),), 1.0)
            return
        likeness, startable = self.known.likeness(self.turn.user), set(starts)
        enough = 0.5 * max(likeness.values(), default=0.0)
        alike = [flow for flow in likeness if flow in startable and likeness[flow] > enough]
        alike.sort(key=lambda flow: -likeness[flow])
        options = dict.fromkeys((*named, *alike, *starts[: 2 if len(alike) < 2 else 0]))
        if len(options) > 1:
            yield Reading((Clarify(tuple(options)[: max(2, min(3, len(alike)))]),), 1.0 if named else 1.5)

    # Readings

    def readings(self, opening: Reading) -> Iterator[Reading]:
        """An opening with the values its message may give, the cheapest first."""
        starting = [command.flow for command in opening.commands if isinstance(command, StartFlow)]
        if opening.commands and (not starting or any(flow in self._in_progress for flow in starting)):
            yield opening
            return
        stack = () if CancelFlow() in opening.commands else self.tracker.stack
        asked = self.asked.slot if self.asked is not None and not starting else None
        answer = next((one.span for one in self.candidates(asked)), None) if asked is not None else None
        partial = [_Assignment()]
        for name in sorted(self.index.fillable(stack, starting), key=lambda name: (name != asked, name)):
            if options := self._options(name, asked, starting):
                grown = [one for before in partial for one in self._continued(before, name, options, answer)]
                partial = sorted(grown, key=_cost)[:BEAM]
        for one in partial:
            if opening.commands or one.commands:
                yield Reading((*opening.commands, *one.commands), opening.cost + _cost(one))
        if not opening.commands:
            yield from (Reading((one,), opening.cost + EACH_VALUE) for one in self._stated_again())

    def _stated_again(self) -> Iterator[SetSlot]:
        """Values that slots have already and the message plainly names."""
        for name in sorted(self.index.fillable(self.tracker.stack)):
            now, question = self.tracker.slots.get(name), self.known.questions[name]
            if now is not None and question.slot.from_llm:
                said = values(question, self.turn.user, "ahead", [now])
                yield from (SetSlot(name, now) for one in said if one.value == now and one.cost <= CLEAR)

    def candidates(self, name: str) -> list[Candidate]:
        """Values for a slot that is asked for, cheapest first; those its own rejections refuse stand back."""
        if name not in self._candidates:
            question, given = self.known.questions[name], self._given(name)
            found = {str(one.value): one for one in values(question, self.turn.user, "asked", given)}
            if TYPE_REJECTIONS.get(question.slot.type) in self.expected.utterances:
                said = self.turn.user.strip(" .!?")
                found[said] = Candidate(said, 0.0)  # the test expects that it is no value of the type
            for offered in self._offered() if question.slot.type == "text" else ():
                if offered.casefold() in self.turn.user.casefold():
                    found[offered] = Candidate(offered, 0.0)
            if question.slot.type in ("text", "any") and not given:
                for one in repeated(self.turn.user, self.expected.texts):
                    if one.value not in found or one.cost < found[one.value].cost:
                        found[one.value] = one
            checked = [self._checked(one, name) for one in found.values()]
            self._candidates[name] = sorted(checked, key=lambda candidate: candidate.cost)
        return self._candidates[name]

    def _given(self, name: str) -> list[Any]:
        """Values the test names for a slot; a text that only the bot says, and the user did not, is none of them."""
        given = self.expected.values.get(name, ())
        if name in self.expected.set_now or self.index.slots[name].type not in ("text", "any"):
            return list(given)
        return [value for value in given if str(value).casefold() in self.turn.user.casefold()]

    def spans_of(self, commands: Sequence[Command]) -> list[tuple[int, int]]:
        """The words that the values of commands were read from."""
        given = {(command.name, str(command.value)) for command in commands if isinstance(command, SetSlot)}
        return [
            one.span
            for name, value in sorted(given)
            for one in self.candidates(name)
            if str(one.value) == value and one.span
        ]

    def _options(self, name: str, asked: str | None, starting: Sequence[str]) -> list[Candidate]:
        """Values worth giving a slot together with others."""
        question = self.known.questions[name]
        if not question.slot.from_llm:
            return []
        if name == asked or name in self.expected.set_now:
            return self.candidates(name)[:6]
        now = self.tracker.slots.get(name)
        # A slot that still has its initial value is not asked for: the user may only volunteer another.
        is_given = now is not None and now != self.index.initial_slots[name]
        if name in self.known.asked_anew or (is_given and not self.corrects):
            return []
        given = self._given(name)
        found = [
            replace(one, cost=min(one.cost, OTHER_CASE)) if one.value in given else one
            for one in values(question, self.turn.user, "ahead", given)
            if one.cost <= CLEAR
            and (
                question.slot.type not in ("text", "any")
                or one.value in given
                or not self.known.is_named_by(str(one.value), starting)
            )
        ]
        unlike = [replace(one, cost=one.cost + UNLIKE) if _is_unlike(now, one.value) else one for one in found]
        return sorted((one for one in unlike if one.value != now), key=lambda one: one.cost)[:4]

    def _checked(self, candidate: Candidate, name: str) -> Candidate:
        slot = self.index.slots[name]
        rejections = (*slot.rejections, *(self.asked.rejections if self.asked and self.asked.slot == name else ()))
        slots = {**self.tracker.slots, name: candidate.value}
        for rejection in rejections:
            if rejection.utter not in self.expected.utterances and rejection.condition.evaluate(slots, {}):
                return replace(candidate, cost=candidate.cost + 0.4)
        return candidate

    def _continued(
        self, before: _Assignment, name: str, options: Sequence[Candidate], answer: tuple[int, int] | None
    ) -> Iterator[_Assignment]:
        """An assignment without a value for a slot, and with each of its options; `answer`: the words that answer the question."""
        is_asked = self.asked is not None and name == self.asked.slot
        if (
            name in self.expected.kept
            or options[0].cost > CLEAR
            or (self.corrects and is_asked and options[0].value is False)
        ):
            yield before  # "no, make it 70" need not answer the question
        elif options[0].span is None:
            yield replace(before, cost=before.cost + UNUSED_VALUE)
        else:
            yield replace(before, unused=(*before.unused, options[0].span))
        for option in options:
            if option.span in before.taken:
                continue
            clash = option.span is not None and any(overlap(option.span, span) for span in before.taken)
            cost = before.cost + EACH_VALUE + option.cost + (SAME_WORDS if clash else 0.0)
            cost += UNWANTED_VALUE if name in self.expected.kept else 0.0
            cost += NOT_ASKED if option.span is not None and option.span == answer and not is_asked else 0.0
            taken = before.taken if option.span is None else (*before.taken, option.span)
            yield _Assignment((*before.commands, SetSlot(name, option.value)), taken, before.unused, cost)


def _is_unlike(now: Any, value: Any) -> bool:
    """True for a number alone in the place of a text with letters, such as a policy P-5 or a name."""
    return isinstance(now, str) and any(map(str.isalpha, now)) and not any(map(str.isalpha, str(value)))


def _reading_cost(reading: Reading) -> float:
    return reading.cost


def _cost(one: _Assignment) -> float:
    unused = [span for span in set(one.unused) if not any(overlap(span, taken) for taken in one.taken)]
    return one.cost + UNUSED_VALUE * len(unused)


def overlap(one: tuple[int, int], other: tuple[int, int]) -> bool:
    """True when two parts of a message share characters."""
    return one[0] < other[1] and other[0] < one[1]
