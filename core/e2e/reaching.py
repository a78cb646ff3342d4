"""How a conversation gets to a step of a flow: messages, values, and what custom actions have to answer.

The engine is searched, best first by the questions that lie between: whatever is found has been played. A flow is entered as users
do, or through flows that call it or link to it; answers are those that conditions tell apart (`possible_values.py`). Where a way on
depends on slots that no question fills, an action's answer or the beginning of the conversation sets them.
"""

from __future__ import annotations

import heapq
import itertools
import json
import math
from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from core.assistant.flows import END, ActionStep, CallStep, CollectStep, Flow, LinkStep, NoopStep, Step
from core.dialogue.actions import ActionAnswer
from core.dialogue.commands import ChitChat, Command, HumanHandoff, SearchAndReply, SetSlot, StartFlow
from core.dialogue.engine import Engine
from core.dialogue.events import ActionRan, Event, StepVisited
from core.dialogue.source import UserMessage
from core.dialogue.tracker import Tracker
from core.e2e.possible_values import PossibleValues, conditions_of, slots_in
from core.errors import CalmtuneError

BUDGET = 3000
"""Turns played in search of one step, about 0.2 ms each."""
_ANSWER, _BEGINNING = 2, 3
"""What a value costs that an action answers with, or that is there from the beginning; a turn costs 1."""

_REPAIRS: Mapping[str, tuple[Command, ...]] = {
    "pattern_chitchat": (ChitChat(),),
    "pattern_search": (SearchAndReply(),),
    "pattern_human_handoff": (HumanHandoff(),),
    "pattern_cannot_handle": (),
}
"""Patterns that lead to flows of the owner, and what starts them."""

Place = tuple[str, str]
"""(flow, step id)."""


@dataclass(frozen=True)
class WayTurn:
    """A message of the user, and what it leads to."""

    commands: tuple[Command, ...]
    payload: str | None
    """What a button sends, where no words can say it."""
    events: tuple[Event, ...]


@dataclass(frozen=True)
class Given:
    """Slots that no question fills."""

    beginning: tuple[tuple[str, Any], ...] = ()
    """(slot, value) before the first message."""
    answers: tuple[tuple[str, str, Any], ...] = ()
    """(action, slot, value) that custom actions answer with."""

    @property
    def cost(self) -> int:
        return _BEGINNING * len(self.beginning) + _ANSWER * len(self.answers)

    @property
    def named(self) -> set[str]:
        return {name for name, _ in self.beginning} | {name for _, name, _ in self.answers}

    def run(self, name: str, tracker: Tracker) -> ActionAnswer:
        """As an action server does."""
        return self.answer(name)

    def answer(self, name: str) -> ActionAnswer:
        """What a custom action answers."""
        slots = [(slot, value) for action, slot, value in self.answers if action == name]
        return ActionAnswer(tuple({"event": "slot", "name": slot, "value": value} for slot, value in slots))


@dataclass(frozen=True)
class Way:
    """A conversation that ends with the turn in which a step is passed."""

    flow: str
    step: str
    turns: tuple[WayTurn, ...]
    given: Given
    actions: tuple[str, ...]
    """Custom actions that run on the way, in their order."""

    @property
    def passed(self) -> frozenset[Place]:
        """Every step on it."""
        return frozenset(_passed(self.turns))


class Reaching:
    """Finds ways to the steps of one assistant."""

    def __init__(self, engine: Engine, budget: int = BUDGET) -> None:
        self.engine, self.budget = engine, budget
        self.flows, self.slots = engine.index.flows, engine.index.slots
        self.values = PossibleValues(engine.assistant)
        self.custom = frozenset(engine.assistant.domain.actions)
        self.decide: dict[str, set[str]] = {}
        """Slot → custom actions right after which it decides the way: those are there to set it."""
        for step in (step for flow in self.flows.values() for step in flow.steps):
            if isinstance(step, ActionStep) and step.action in self.custom:
                for name in (name for branch in step.next if branch.condition for name in slots_in(branch.condition)):
                    self.decide.setdefault(name, set()).add(step.action)

    def way_to(self, flow: str, step: str) -> Way | None:
        """The shortest way found, None when there is none within the budget. Raises KeyError for an unknown flow."""
        return _Search(self, (flow, step)).run()

    def custom_actions(self, events: Iterable[Event]) -> list[str]:
        """Custom actions that ran, each once, in their order."""
        names = dict.fromkeys(event.name for event in events if isinstance(event, ActionRan))
        return [name for name in names if name in self.custom]


@dataclass(frozen=True)
class _Node:
    given: Given
    turns: tuple[WayTurn, ...] = ()
    tracker: Tracker | None = field(default=None, compare=False)
    """None where the conversation has not begun."""


class _Search:
    """The search for one step."""

    def __init__(self, reaching: Reaching, target: Place) -> None:
        self.all, self.target, self.engine = reaching, target, reaching.engine
        self.index = reaching.engine.index
        self.left = _questions_to(target, reaching.flows)
        self.free = self._free_slots()
        self._queue: list[tuple[float, int, _Node]] = []
        self._order = itertools.count()
        self._seen: set[Hashable] = set()
        self._plays = 0

    def run(self) -> Way | None:
        self._push(_Node(Given()))
        while self._queue and self._plays < self.all.budget:
            node = heapq.heappop(self._queue)[2]
            for next_node in self._after(node):
                if self.target in _passed(next_node.turns[-1:]):
                    assert next_node.tracker is not None
                    actions = tuple(self.all.custom_actions(next_node.tracker.events))
                    return Way(*self.target, next_node.turns, next_node.given, actions)
                self._push(next_node)
        return None

    # Where the flows lead

    def _free_slots(self) -> tuple[str, ...]:
        """Slots that decide the way, although no question on it fills them."""
        near = [flow for flow in self.all.flows.values() if (flow.id, flow.first) in self.left or flow.id == self.target[0]]
        asked = {step.slot for flow in near for step in flow.collects() if (flow.id, step.id) in self.left}
        named = {name for flow in near for condition in conditions_of(flow) for name in slots_in(condition)}
        return tuple(sorted(name for name in named - asked if name in self.all.slots))

    def _entries(self) -> Iterator[tuple[tuple[Command, ...], str | None]]:
        """Messages that start a flow from which the step can be reached."""
        for flow in self.all.flows.values():
            if (flow.id, flow.first) not in self.left:
                continue
            if flow.id in _REPAIRS:
                yield _REPAIRS[flow.id], None
            elif not (flow.is_pattern or flow.never_startable):
                yield (StartFlow(flow.id),), None
            for trigger in flow.nlu_triggers:
                payload = f"/{trigger.intent}"
                yield self.engine.payload_commands(payload) or (), payload

    # Playing

    def _after(self, node: _Node) -> Iterator[_Node]:
        if node.tracker is None:
            tracker = self.engine.new_tracker()
            self.engine.with_actions(node.given, require_actions=False).start(tracker)
            tracker.slots.update(node.given.beginning)
            for commands, payload in self._entries():
                yield from self._played(node, tracker, commands, payload)
            for name, value in self._missing(node.given):
                self._push(_Node(replace(node.given, beginning=(*node.given.beginning, (name, value)))))
            return
        asked = self.index.asked_step(node.tracker.stack)
        if asked is None:
            return
        active = {frame.flow for frame in node.tracker.stack}
        said = self.all.slots[asked.slot].filled_by_commands(active)
        for value in self.all.values.of(asked.slot):
            payload = None if said else f"/SetSlots({asked.slot}={json.dumps(str(value), ensure_ascii=False)})"
            yield from self._played(node, node.tracker, (SetSlot(asked.slot, value),), payload)

    def _played(self, node: _Node, tracker: Tracker, commands: tuple[Command, ...], payload: str | None) -> Iterator[_Node]:
        self._plays += 1
        tracker = tracker.fork()
        engine = self.engine.with_actions(node.given, require_actions=False)
        try:
            events = engine.handle(tracker, UserMessage(payload or "…"), commands)
        except CalmtuneError:
            return  # what an action of theirs cannot do is no way
        after = _Node(node.given, (*node.turns, WayTurn(commands, payload, tuple(events))), tracker)
        for action in self.all.custom_actions(events):
            for name, value in self._missing(node.given):
                if name in self.all.decide and action not in self.all.decide[name]:
                    continue
                self._push(_Node(replace(node.given, answers=(*node.given.answers, (action, name, value)))))
        yield after

    def _missing(self, given: Given) -> Iterator[tuple[str, Any]]:
        return ((name, value) for name in self.free if name not in given.named for value in self.all.values.of(name))

    # The queue

    def _push(self, node: _Node) -> None:
        left = 1.0 if node.tracker is None else self._left(node.tracker)
        key = self._key(node)
        if left == math.inf or key in self._seen:
            return
        self._seen.add(key)
        heapq.heappush(self._queue, (node.given.cost + len(node.turns) + left, next(self._order), node))

    def _left(self, tracker: Tracker) -> float:
        """Questions between here and the step, at least; infinite where no flow in progress leads to it."""
        return min((self.left.get((frame.flow, frame.step), math.inf) for frame in tracker.stack), default=math.inf)

    def _key(self, node: _Node) -> Hashable:
        given = sorted(map(repr, (*node.given.beginning, *node.given.answers)))
        if node.tracker is None:
            return repr(given)
        stack = [(frame.flow, frame.step, frame.kind) for frame in node.tracker.stack]
        return repr((given, stack, list(node.tracker.slots.values())))


def _passed(turns: Iterable[WayTurn]) -> Iterator[Place]:
    events = (event for turn in turns for event in turn.events)
    return ((event.flow, event.step) for event in events if isinstance(event, StepVisited))


def _questions_to(target: Place, flows: Mapping[str, Flow]) -> dict[Place, int]:
    """Questions to answer from each step on until the target, as the graph has it; steps that do not lead there are left out."""
    before: dict[Place, list[Place]] = {}
    for flow in flows.values():
        for step in flow.steps:
            for after in _onward(flow, step, flows):
                before.setdefault(after, []).append((flow.id, step.id))
    left = {target: 0}
    queue = [(0, target)]
    while queue:
        distance, place = heapq.heappop(queue)
        if distance > left[place]:
            continue
        for earlier in before.get(place, ()):
            further = distance + isinstance(flows[earlier[0]].step(earlier[1]), CollectStep)
            if further < left.get(earlier, math.inf):
                left[earlier] = further
                heapq.heappush(queue, (further, earlier))
    return left


def _onward(flow: Flow, step: Step, flows: Mapping[str, Flow]) -> Iterator[Place]:
    yield from ((flow.id, branch.target) for branch in step.next if branch.target != END)
    if isinstance(step, (CallStep, LinkStep)) and step.flow in flows and flows[step.flow].steps:
        yield step.flow, flows[step.flow].first


def counted(flow: Flow) -> tuple[Step, ...]:
    """The steps of a flow that coverage counts."""
    return tuple(step for step in flow.steps if not isinstance(step, NoopStep))
