"""The search for the commands of a test: best first over what its turns may mean, each tried on the engine.

A node is a reading of one turn after a path of turns that hold. Readings that hold lead to the next turn; after any reading, an answer to
the question that is open then is tried too. Of paths that come to the same point of the conversation only the cheapest goes on.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, chain, count
from typing import Any

from core.dataset.expectations import expectations
from core.dataset.knowledge import knowledge
from core.dataset.language import COMMANDS_WITH_WORDING, NO_SIGN, doubt
from core.dataset.readings import EACH_VALUE, SAME_WORDS, Listener, Reading, least_cost, overlap
from core.dialogue.actions import ActionFailed, ActionUnavailable
from core.dialogue.commands import Command, SetSlot, StartFlow
from core.dialogue.engine import Engine
from core.dialogue.events import BotSaid, Event, UserSaid, Warned
from core.dialogue.source import UserMessage, unread
from core.dialogue.tracker import Tracker
from core.e2e.assertions import failures_of
from core.e2e.cases import Check, TestCase, Turn
from core.e2e.results import Failure

MOST_COMMANDS_IN_A_TURN = 12
AMBIGUITY_MARGIN = 0.04
"""Solutions whose costs differ by less cannot be told apart."""
UNMENTIONED = 0.12
"""Cost of a message of the bot that the turn's checks say nothing of, where they speak of its messages."""
NEEDLESS = 0.3
"""Cost of a command that has no effect."""
NAMES_THE_FLOW = 0.2
"""Cost of a value that consists of words which start the flow."""
INVENTED = 0.5
"""Cost of a value that nobody said; with such values the search only asks whether a test can come true at all."""


@dataclass(frozen=True)
class Path:
    """Turns played so far and the conversation after them."""

    tracker: Tracker
    turns: tuple[tuple[Command, ...] | None, ...] = ()
    """Commands of each turn, None for payload messages."""
    cost: float = 0.0


@dataclass(frozen=True)
class Attempt:
    """A reading of a turn that did not hold."""

    cost: float
    commands: tuple[Command, ...]
    failure: Failure
    trouble: str | None = None
    """What kept an action from running, so that the failure may come from that alone."""


@dataclass(order=True)
class _Node:
    """Something to try as the next turn of a path. Cheapest first, deeper first among equals."""

    priority: tuple[float, int, int]
    path: Path = field(compare=False)
    listener: Listener | None = field(default=None, compare=False)
    """Understands the next turn; None at the end of the test."""
    reading: Reading = field(default=Reading((), 0.0), compare=False)
    openings: Iterator[Reading] | None = field(default=None, compare=False)
    """Of an opening whose readings are still to be made: the dearer ones of its turn; None for a reading."""


class Search:
    """One search over one test; `run` fills `solutions`, `attempts` and `reached`."""

    def __init__(self, engine: Engine, case: TestCase, budget: int, invents: bool = False) -> None:
        """`budget`: turns to play at most. `invents`: try values that nobody said, and stop at the first solution."""
        self.engine, self.case, self.budget, self.invents = engine, case, budget, invents
        self.known = knowledge(engine.index)
        self.expected = expectations(case, self.known)
        least = [
            least_cost(self.known, turn, expected) if self.without_model(turn) is None else 0.0
            for turn, expected in zip(case.turns, self.expected, strict=True)
        ]
        self._ahead = [*accumulate(reversed(least), initial=0.0)][::-1]
        """Turn → what it and those after it cost at least; the nearer to the truth, the fewer readings are tried in vain."""
        self.simulations = 0
        self.solutions: list[Path] = []
        """The cheapest solution, and those of nearly the same cost."""
        self.attempts: dict[int, Attempt] = {}
        """Turn → what came nearest to making it true, for turns where something failed."""
        self.reached: dict[int, Path] = {}
        """Turn → the cheapest path that leads to it."""
        self.invented: set[Command] = set()
        """Values that were tried although nobody said them."""
        self._trouble: str | None = None
        self._broken: dict[int, Attempt] = {}
        """Turn → the cheapest attempt that ended with the failure of an action."""
        self._queue: list[_Node] = []
        self._order = count()
        self._points: dict[Hashable, float] = {}
        self._seen: dict[tuple[tuple[Any, ...], frozenset[Command]], float] = {}
        """Readings of turns, with the lowest cost at which each was queued."""

    @property
    def exhausted(self) -> bool:
        """True when everything was tried within the budget."""
        return self.simulations < self.budget

    def run(self, start: Path) -> None:
        """Search until the best solution is beyond doubt, everything was tried, or the budget is used up."""
        self._go_on(start)
        while self._queue and self.simulations < self.budget:
            node = heapq.heappop(self._queue)
            if self.solutions and (self.invents or node.priority[0] > self.solutions[0].cost + AMBIGUITY_MARGIN):
                break
            if node.listener is None:
                self.solutions.append(node.path)
            elif node.openings is not None:
                self._open_next(node.path, node.listener, node.openings)
                self._open(node, node.listener)
            else:
                self._try(node, node.listener)
        for at, broken in self._broken.items():
            if broken.cost < self.attempts[at].cost:
                self.attempts[at] = broken  # whether the likelier reading would have held is not known

    def _open_next(self, path: Path, listener: Listener, openings: Iterator[Reading]) -> None:
        """Queue the next opening of a turn; those after it wait for it to be tried."""
        if (opening := next(openings, None)) is not None:
            heapq.heappush(self._queue, _Node(self._priority(path, opening), path, listener, opening, openings))

    def _open(self, node: _Node, listener: Listener) -> None:
        further = listener.readings(node.reading)
        if self.invents and not node.reading.commands:
            further = chain(further, self._inventions(node.reading, listener, node.path.tracker))
        for reading in further:
            self._enqueue(node.path, listener, reading)

    def _try(self, node: _Node, listener: Listener) -> None:
        """Play a reading; queue the next turn when its checks hold, and the reading with an answer to what is asked then."""
        at, commands = len(node.path.turns), node.reading.commands
        if self._seen[node.path.turns, frozenset(commands)] < node.reading.cost:
            return  # it was queued again for less
        tracker, events, failure = self._play(node.path.tracker, self.case.turns[at], commands)
        if failure is None:
            cost = node.path.cost + node.reading.cost + self._oddness(events, commands, at)
            self._go_on(Path(tracker, (*node.path.turns, commands), cost))
        else:
            self._note(at, Attempt(node.priority[0], commands, failure, trouble_in(tracker.events) or self._trouble))
        further = self._answers(node.reading, listener, tracker)
        if self.invents and all(isinstance(command, (StartFlow, SetSlot)) for command in commands):
            further = chain(further, self._inventions(node.reading, listener, tracker))
        for reading in further:
            self._enqueue(node.path, listener, reading)

    def _note(self, at: int, attempt: Attempt) -> None:
        if attempt.trouble == attempt.failure.message:
            self._broken.setdefault(at, attempt)
        if at not in self.attempts or self._distance(at, attempt) < self._distance(at, self.attempts[at]):
            self.attempts[at] = attempt

    def _distance(self, at: int, attempt: Attempt) -> float:
        """How far an attempt is from making its turn true: every check that holds before the failing one counts as much as a command."""
        checks = self.case.turns[at].checks
        return attempt.cost - (checks.index(attempt.failure.check) if attempt.failure.check in checks else 0)

    # Playing

    def _play(
        self, tracker: Tracker, turn: Turn, commands: Sequence[Command]
    ) -> tuple[Tracker, list[Event], Failure | None]:
        self.simulations += 1
        after = tracker.fork()
        try:
            events = self.engine.handle(after, UserMessage(turn.user, turn.metadata), commands)
        except (ActionUnavailable, ActionFailed) as error:
            self._trouble = str(error)
            check = turn.checks[0] if turn.checks else Check("utter", "", turn.line)
            return tracker, [], Failure(check, check.line, str(error))
        self._trouble = None
        failures = failures_of(turn, events, after, self.engine.assistant.domain)
        return after, events, failures[0] if failures else None

    def _oddness(self, events: Sequence[Event], commands: Sequence[Command], at: int) -> float:
        """What speaks against a reading that holds: commands without effect, messages of the bot that no check mentions."""
        user, expected = events[0], self.expected[at]
        kept = len(user.commands) if isinstance(user, UserSaid) else 0
        odd = NEEDLESS * max(0, len(commands) - kept)
        if not expected.utterances:
            return odd
        texts = {check.value.strip() for check in self.case.turns[at].checks if check.kind == "bot"}
        said = [event for event in events if isinstance(event, BotSaid)]
        return odd + UNMENTIONED * sum(
            event.utter not in expected.utterances and (event.text or "").strip() not in texts for event in said
        )

    # The queue

    def _go_on(self, path: Path) -> None:
        """Queue what may come next: the openings of the next turn, the turn after one that no model is shown, or the finished path."""
        while len(path.turns) < len(self.case.turns):
            at = len(path.turns)
            if at not in self.reached or path.cost < self.reached[at].cost:
                self.reached[at] = path
            turn = self.case.turns[at]
            given = self.without_model(turn)
            if given is None:
                if self._is_worthwhile(path):
                    listener = Listener(self.known, turn, self.expected[at], path.tracker)
                    self._open_next(path, listener, listener.openings())
                return
            tracker, _, failure = self._play(path.tracker, turn, given)
            if failure is not None:
                self._note(at, Attempt(path.cost, given, failure))
                return
            is_payload = self.engine.payload_commands(turn.user) is not None
            path = Path(tracker, (*path.turns, None if is_payload else given), path.cost)
        heapq.heappush(self._queue, _Node((path.cost, -len(path.turns), next(self._order)), path))

    def without_model(self, turn: Turn) -> tuple[Command, ...] | None:
        """Commands of a payload, or the error of a message that is empty or too long; None for messages that a model is shown."""
        payload = self.engine.payload_commands(turn.user)
        error = unread(turn.user, self.engine.assistant.settings.max_characters)
        return payload if payload is not None or error is None else (error,)

    def _is_worthwhile(self, path: Path) -> bool:
        """False when another path came to the same point for less, beyond doubt: whatever follows, it ends better."""
        cheapest = self._points.setdefault(self._point(path), path.cost)
        return cheapest == path.cost or (path.cost <= cheapest + AMBIGUITY_MARGIN and not self.invents)

    def _point(self, path: Path) -> Hashable:
        """Everything that the rest of a conversation depends on; of invented values, what conditions make of them."""
        tracker, index = path.tracker, self.engine.index
        stack = tuple((frame.flow, frame.step, frame.kind, frame.begun, repr(frame.context)) for frame in tracker.stack)
        last = next(
            (at for at in range(len(tracker.events) - 1, -1, -1) if isinstance(tracker.events[at], UserSaid)), 0
        )
        said = tuple(event.utter or event.text for event in tracker.events[last:] if isinstance(event, BotSaid))
        values: Iterable[object] = tracker.slots.values()
        if self.invents:
            named = self.expected[0].values
            values = (self.known.rough(name, value, named.get(name, ())) for name, value in tracker.slots.items())
        return len(path.turns), stack, repr(list(values)), tuple(index.way(tracker)), said

    def _enqueue(self, path: Path, listener: Listener, reading: Reading) -> None:
        key = (path.turns, frozenset(reading.commands))
        if self._seen.get(key, math.inf) <= reading.cost or len(reading.commands) > MOST_COMMANDS_IN_A_TURN:
            return
        self._seen[key] = reading.cost
        heapq.heappush(self._queue, _Node(self._priority(path, reading), path, listener, reading))

    def _priority(self, path: Path, reading: Reading) -> tuple[float, int, int]:
        ahead = self._ahead[len(path.turns) + 1]
        return path.cost + reading.cost + ahead, -len(path.turns), next(self._order)

    # Longer readings

    def _answers(self, reading: Reading, listener: Listener, after: Tracker) -> Iterator[Reading]:
        """The reading with an answer to the question that is open after it."""
        asked = self.engine.index.asked_step(after.stack)
        named = {command.name for command in reading.commands if isinstance(command, SetSlot)}
        if asked is None or asked.slot in named or not self.engine.index.slots[asked.slot].from_llm:
            return
        starts = any(isinstance(command, StartFlow) for command in reading.commands)
        if (starts and asked.ask_before_filling) or any(
            isinstance(command, COMMANDS_WITH_WORDING) and doubt(type(command), listener.turn.user) == NO_SIGN
            for command in reading.commands
        ):
            return
        taken = listener.spans_of(reading.commands)
        for candidate in listener.candidates(asked.slot):
            if candidate.span in taken or (starts and candidate.is_all):
                continue
            clash = candidate.span is not None and any(overlap(candidate.span, span) for span in taken)
            cost = reading.cost + EACH_VALUE + candidate.cost + (SAME_WORDS if clash else 0.0)
            started = [command.flow for command in reading.commands if isinstance(command, StartFlow)]
            if candidate.span is not None and self.known.is_named_by(str(candidate.value), started):
                cost += NAMES_THE_FLOW
            yield Reading((*reading.commands, SetSlot(asked.slot, candidate.value)), cost)

    def _inventions(self, reading: Reading, listener: Listener, after: Tracker) -> Iterator[Reading]:
        """The reading with a value that nobody said, for the slot that is asked for then or one to correct.

        A slot that is filled ahead of its question leads nowhere else than one filled when its question comes.
        """
        index = self.engine.index
        named = {command.name for command in reading.commands if isinstance(command, SetSlot)}
        asked = index.asked_step(after.stack)
        filled = {name for name in index.fillable(after.stack) if after.slots[name] is not None}
        for name in sorted((filled | ({asked.slot} if asked is not None else set())) - named):
            if index.slots[name].from_llm:
                said = [candidate.value for candidate in listener.candidates(name)]
                for command in (SetSlot(name, value) for value in self.known.inventions(name)):
                    if command.value not in said:
                        self.invented.add(command)
                    yield Reading((*reading.commands, command), reading.cost + INVENTED)


def trouble_in(events: Iterable[Event]) -> str | None:
    """The first warning of an action that nobody could run, or that answered what is not understood."""
    warnings = (event.message for event in events if isinstance(event, Warned))
    return next((message for message in warnings if message.startswith("action ")), None)
