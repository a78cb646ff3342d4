"""Commands without a language model: find, for each turn of a test, the commands that make its expectations come true.

A best-first search over the engine. A node is a list of commands for one turn; playing it shows whether the turn's checks hold and
which question is open next, which suggests how to extend the list. Turns are strung together, so that a choice that only later
turns out wrong (a value not volunteered, the wrong of two flows) is taken back. Cost prefers few commands, values that the words
show, and flows the words resemble. Two different solutions of nearly the same cost make a test ambiguous; it is never guessed.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations, count
from typing import Any

from core.assistant.flows import ActionStep, CollectStep, LinkStep
from core.dataset.candidates import evident, similarity, values, words
from core.dialogue.cleanup import startable
from core.dialogue.command_text import render_all
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
from core.dialogue.engine import Engine
from core.dialogue.source import UserMessage
from core.dialogue.stack import active_frames
from core.dialogue.tracker import Tracker
from core.e2e.assertions import failures_of
from core.e2e.cases import ANY, TestCase, Turn
from core.e2e.results import Failure
from core.e2e.runner import begin

MOST_COMMANDS_IN_A_TURN = 6
AMBIGUITY_MARGIN = 0.04
"""Solutions whose costs differ by less cannot be told apart."""
UNEXPECTED_FLOW = 1.5
"""Cost of starting a flow that cannot say what the turn expects."""

_WORDS_OF: dict[type, frozenset[str]] = {
    CancelFlow: frozenset(
        ["cancel", "stop", "forget", "nevermind", "never", "abort", "quit", "drop", "scrap", "changed"]
    ),
    HumanHandoff: frozenset(
        ["human", "person", "agent", "someone", "operator", "representative", "talk", "speak", "people", "staff"]
    ),
    SkipQuestion: frozenset(["skip", "rather", "later", "know", "pass"]),
    RepeatMessage: frozenset(["repeat", "again", "pardon", "sorry", "what"]),
    SearchAndReply: frozenset(["what", "how", "when", "where", "why", "which", "who", "does", "is", "are"]),
    ChitChat: frozenset(["hello", "hi", "hey", "joke", "weather", "thanks", "thank", "you", "cool", "nice", "how"]),
}


@dataclass(frozen=True)
class Inference:
    """What was found for one test."""

    case: TestCase
    turns: tuple[tuple[Command, ...] | None, ...] = ()
    """Commands of each turn, None for payload messages; empty unless every turn was found."""
    undecided: str | None = None
    """Why nothing (or nothing unique) was found; a sentence naming the turn."""
    contradiction: Failure | None = None
    """Set when a turn without choice (a button, the greeting) shows something else than expected: the test fails."""
    simulations: int = 0


@dataclass(frozen=True)
class _Path:
    """Turns played so far and the conversation after them."""

    tracker: Tracker
    turns: tuple[tuple[Command, ...] | None, ...] = ()
    cost: float = 0.0


@dataclass(order=True)
class _Node:
    """A list of commands to try as the next turn of a path. Cheapest first, deeper first among equals."""

    priority: tuple[float, int, int]
    path: _Path = field(compare=False)
    commands: tuple[Command, ...] = field(default=(), compare=False)
    cost: float = field(default=0.0, compare=False)


class _Search:
    def __init__(self, engine: Engine, case: TestCase, budget: int) -> None:
        self.engine = engine
        self.index = engine.index
        self.case = case
        self.budget = budget
        self.simulations = 0
        self.deepest: tuple[int, str] = (-1, "")
        self.contradiction: Failure | None = None
        self._queue: list[_Node] = []
        self._order = count()
        self._seen: set[tuple[tuple[Any, ...], frozenset[Command]]] = set()
        self._said_by = _flows_by_utterance(engine)

    def run(self) -> Inference:
        case = self.case
        tracker, _, failures = begin(self.engine, case)
        if failures:
            return Inference(case, contradiction=failures[0])
        self._enqueue_turn(_Path(tracker))
        best: _Path | None = None
        rivals: list[_Path] = []
        while self._queue and self.simulations < self.budget:
            node = heapq.heappop(self._queue)
            if best is not None and node.priority[0] > best.cost + AMBIGUITY_MARGIN:
                break
            if len(node.path.turns) < len(case.turns):
                self._try(node)
            elif best is None:
                best = node.path
            elif not _same_meaning(best, node.path):
                rivals.append(node.path)
        return self._conclude(best, rivals)

    def _conclude(self, best: _Path | None, rivals: list[_Path]) -> Inference:
        if best is None and self.contradiction:
            return Inference(self.case, contradiction=self.contradiction, simulations=self.simulations)
        if best is None:
            turn, reason = self.deepest
            more = " within the search budget" if self.simulations >= self.budget else ""
            text = f"turn {turn + 1} ({self.case.turns[turn].user!r}): no commands were found{more} that make it come true; {reason}"
            return Inference(self.case, undecided=text, simulations=self.simulations)
        if rivals:
            turn = next(
                at for at, pair in enumerate(zip(best.turns, rivals[0].turns, strict=True)) if pair[0] != pair[1]
            )
            options = " | ".join(dict.fromkeys(_shown(path.turns[turn]) for path in (best, *rivals)))
            text = f"turn {turn + 1} ({self.case.turns[turn].user!r}) is ambiguous: {options}"
            return Inference(self.case, undecided=text, simulations=self.simulations)
        return Inference(self.case, best.turns, simulations=self.simulations)

    # Playing

    def _try(self, node: _Node) -> None:
        """Play a node; queue the next turn when its checks hold, and longer lists of commands in any case."""
        at = len(node.path.turns)
        turn = self.case.turns[at]
        tracker, failure = self._play(node.path.tracker, turn, node.commands)
        if failure is None:
            self._enqueue_turn(_Path(tracker, (*node.path.turns, node.commands), node.path.cost + node.cost))
        elif at > self.deepest[0]:
            self.deepest = (at, f"with {_shown(node.commands)}: {failure.message}")
        for commands, cost in self._extensions(node, turn, tracker):
            self._enqueue(node.path, commands, cost)

    def _play(self, tracker: Tracker, turn: Turn, commands: Sequence[Command]) -> tuple[Tracker, Failure | None]:
        self.simulations += 1
        after = tracker.fork()
        events = self.engine.handle(after, UserMessage(turn.user, turn.metadata), commands)
        failures = failures_of(turn, events, after, self.engine.assistant.domain)
        return after, failures[0] if failures else None

    def _enqueue_turn(self, path: _Path) -> None:
        """Queue what may come next: the openings of the next turn, the turn after a payload, or the finished path."""
        while len(path.turns) < len(self.case.turns):
            turn = self.case.turns[len(path.turns)]
            payload = self.engine.payload_commands(turn.user)
            if payload is None:
                for commands, cost in self._openings(turn, path.tracker):
                    self._enqueue(path, commands, cost)
                return
            tracker, failure = self._play(path.tracker, turn, payload)
            if failure is not None:
                self.contradiction = self.contradiction or failure
                return
            path = _Path(tracker, (*path.turns, None), path.cost)
        heapq.heappush(self._queue, _Node((path.cost, -len(path.turns), next(self._order)), path))

    def _enqueue(self, path: _Path, commands: tuple[Command, ...], cost: float) -> None:
        key = (path.turns, frozenset(commands))
        if key in self._seen or len(commands) > MOST_COMMANDS_IN_A_TURN:
            return
        self._seen.add(key)
        left = len(self.case.turns) - len(path.turns) - 1
        priority = (path.cost + cost + left, -len(path.turns), next(self._order))
        heapq.heappush(self._queue, _Node(priority, path, commands, cost))

    # What to try

    def _openings(self, turn: Turn, tracker: Tracker) -> Iterator[tuple[tuple[Command, ...], float]]:
        """First commands of a turn with their costs."""
        message = turn.user
        hints = _Hints(turn)
        active = active_frames(tracker.stack)
        asked = self.index.asked_step(tracker.stack)
        if asked is not None:
            for value, cost in self._values(asked.slot, turn):
                yield (SetSlot(asked.slot, value),), 1.0 + cost
        for name in sorted(self.index.fillable(tracker.stack)):
            if asked is None or name != asked.slot:
                for value, cost in self._volunteered(name, turn, hints):
                    yield (SetSlot(name, value),), 1.3 + cost
        starts = list(self._starts(turn, tracker, hints))
        for flow, cost in starts:
            yield (StartFlow(flow),), cost
            if active:
                yield (CancelFlow(), StartFlow(flow)), cost + 1.0 + _unlikely(CancelFlow, message)
        likely = [(flow, cost) for flow, cost in starts if cost < 1.5][:5]
        for (one, first), (other, second) in combinations(likely, 2):
            yield (StartFlow(one), StartFlow(other)), first + second
        if active:
            yield (CancelFlow(),), 1.0 + _unlikely(CancelFlow, message)
        if asked is not None:
            yield (SkipQuestion(),), 1.1 + _unlikely(SkipQuestion, message)
        for command in (SearchAndReply(), ChitChat(), HumanHandoff(), RepeatMessage()):
            yield (command,), 1.1 + _unlikely(type(command), message)
        for flows in hints.clarified or [tuple(flow for flow, _ in starts[:2])]:
            yield (Clarify(flows),), 1.0 if hints.clarified else 1.6
        yield (CannotHandle(),), 2.0

    def _extensions(self, node: _Node, turn: Turn, after: Tracker) -> Iterator[tuple[tuple[Command, ...], float]]:
        """Longer lists: a value for the question that is open now, and values the words or the checks show."""
        named = {command.name for command in node.commands if isinstance(command, SetSlot)}
        hints = _Hints(turn)
        asked = self.index.asked_step(after.stack)
        if asked is not None and asked.slot not in named and not asked.ask_before_filling:
            for value, cost in self._values(asked.slot, turn):
                yield (*node.commands, SetSlot(asked.slot, value)), node.cost + 1.0 + cost
        for name in sorted(self.index.fillable(after.stack) - named):
            if asked is None or name != asked.slot:
                for value, cost in self._volunteered(name, turn, hints):
                    yield (*node.commands, SetSlot(name, value)), node.cost + 1.0 + cost

    def _values(self, name: str, turn: Turn) -> Iterator[tuple[Any, float]]:
        slot = self.index.slots[name]
        if slot.from_llm:
            for candidate in values(slot, turn.user, self._expected(name), self._later_texts(turn)):
                yield candidate.value, candidate.cost

    def _volunteered(self, name: str, turn: Turn, hints: _Hints) -> Iterator[tuple[Any, float]]:
        """Values for a slot nobody asked for: those the checks name, those the words show."""
        slot = self.index.slots[name]
        if not slot.from_llm:
            return
        if name in hints.slots:
            yield from self._values(name, turn)
        else:
            for candidate in evident(slot, turn.user):
                yield candidate.value, candidate.cost + 0.1

    def _expected(self, name: str) -> list[Any]:
        """Values the test's checks name for a slot, in any turn."""
        checks = (check for turn in self.case.turns for check in turn.checks if check.kind == "slot_was_set")
        return [value for slot, value in (check.value for check in checks) if slot == name and value is not ANY]

    def _later_texts(self, turn: Turn) -> list[str]:
        """Messages the bot is to send word for word from this turn on."""
        turns = self.case.turns[self.case.turns.index(turn) :]
        return [check.value for later in turns for check in later.checks if check.kind == "bot"]

    def _starts(self, turn: Turn, tracker: Tracker, hints: _Hints) -> list[tuple[str, float]]:
        """Flows that may be started, cheapest first."""
        fitting: set[str] | None = set(hints.started) or None
        if fitting is None and hints.utterances:
            fitting = set().union(*(self._said_by.get(name, set()) for name in hints.utterances))
        costs = []
        for flow in self.engine.assistant.business_flows:
            if startable(flow.id, tracker, self.index):
                text = f"{flow.id} {flow.name} {flow.description}"
                unexpected = UNEXPECTED_FLOW if fitting is not None and flow.id not in fitting else 0.0
                costs.append((flow.id, 1.0 + 0.5 * (1.0 - similarity(turn.user, text)) + unexpected))
        return sorted(costs, key=lambda pair: pair[1])


class _Hints:
    """What a turn's checks say outright."""

    def __init__(self, turn: Turn) -> None:
        self.started: list[str] = []
        self.clarified: list[tuple[str, ...]] = []
        self.slots: set[str] = set()
        self.utterances: list[str] = []
        for check in turn.checks:
            if check.kind == "flow_started":
                self.started.extend(check.value[1])
            elif check.kind == "pattern_clarification_contains":
                self.clarified.append(tuple(check.value[1]))
            elif check.kind == "slot_was_set":
                self.slots.add(check.value[0])
            elif check.kind == "utter":
                self.utterances.append(check.value)
            elif check.kind == "bot_uttered" and check.value.get("utter_name"):
                self.utterances.append(check.value["utter_name"])


def _flows_by_utterance(engine: Engine) -> dict[str, set[str]]:
    """Response name → business flows that can say it, themselves or through flows they call or link to."""
    own: dict[str, set[str]] = {}
    onward: dict[str, set[str]] = {}
    for flow in engine.assistant.flows.values():
        said = own.setdefault(flow.id, set())
        for step in flow.steps:
            if isinstance(step, ActionStep):
                said.add(step.action)
            elif isinstance(step, CollectStep):
                said |= {step.utter, *(rejection.utter for rejection in step.rejections)}
            elif isinstance(step, LinkStep):
                onward.setdefault(flow.id, set()).add(step.flow)
        onward.setdefault(flow.id, set()).update(engine.assistant.called_flows(flow.id))
    by_utterance: dict[str, set[str]] = {}
    for flow in engine.assistant.business_flows:
        reached, queue = {flow.id}, [flow.id]
        while queue:
            fresh = onward.get(queue.pop(), set()) - reached
            reached |= fresh
            queue.extend(fresh)
        for utterance in set().union(*(own.get(id, set()) for id in reached)):
            by_utterance.setdefault(utterance, set()).add(flow.id)
    return by_utterance


def _unlikely(command: type, message: str) -> float:
    """0 to 0.5: how little a message's words suggest a command."""
    return 0.0 if _WORDS_OF[command] & set(words(message)) else 0.5


def _same_meaning(one: _Path, other: _Path) -> bool:
    """True when two solutions differ at most in the span of free text taken as a value."""
    return all(_names(first) == _names(second) for first, second in zip(one.turns, other.turns, strict=True))


def _names(commands: Iterable[Command] | None) -> frozenset[object]:
    return frozenset(
        (command.name, type(command.value) if isinstance(command.value, str) else command.value)
        if isinstance(command, SetSlot)
        else command
        for command in commands or ()
    )


def _shown(commands: Iterable[Command] | None) -> str:
    return render_all(tuple(commands or ()), "v2").replace("\n", "; ")


def infer(engine: Engine, case: TestCase, budget: int = 3000) -> Inference:
    """Find the commands of a test. `engine` runs the test's own stubs; `budget` bounds the turns played (about 0.3 ms each)."""
    return _Search(engine, case, budget).run()
