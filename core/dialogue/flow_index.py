"""What the engine looks up about flows again and again, computed once for an assistant."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from core.assistant.conditions import ConditionError
from core.assistant.flows import CallStep, CollectStep, Flow, SetSlotsStep
from core.assistant.project import Assistant
from core.assistant.repair import PatternSet
from core.dialogue.events import FlowStarted, StepVisited
from core.dialogue.stack import Frame, active_frames
from core.dialogue.tracker import Tracker

Place = tuple[tuple[str, str], ...]
"""(flow, step id) of a step, after those of the calls that led to it, the outermost first."""


class FlowIndex:
    """Slots and intents of each flow, and where a conversation stands in them."""

    def __init__(self, assistant: Assistant, patterns: PatternSet = "newest") -> None:
        """`assistant` has its default patterns, those of `patterns`."""
        self.assistant = assistant
        self.resumes_flows = patterns != "3.13"
        """True from 3.14 on: starting a flow that waits on the stack goes on with it."""
        self.limits_options = patterns == "newest"
        """True from 3.15 on: a clarification offers `max_clarification_options` at most, and may offer none."""
        self.flows = assistant.flows
        self.slots = assistant.domain.slots
        self.initial_slots = {slot.name: slot.initial_value for slot in self.slots.values()}
        self.collected = {id: frozenset(step.slot for step in assistant.collects_of(id)) for id in self.flows}
        """Flow id → slots its collect steps ask for, called flows included."""
        self.scoped = {id: self._scoped_slots(flow) for id, flow in self.flows.items()}
        """Flow id → slots to reset when it ends, called flows included."""
        self.by_intent = {trigger.intent: flow.id for flow in self.flows.values() for trigger in flow.nlu_triggers}
        actions = [mapping.every_turn_action for slot in self.slots.values() for mapping in slot.mappings]
        self.every_turn = tuple(dict.fromkeys(name for name in actions if name is not None))
        """Custom actions that run after each message of the user."""
        self.meant = frozenset(self._meant())
        """(slot, value in lower case) of the values that slots are declared to have or conditions ask about, "none" for one."""

    def _meant(self) -> Iterable[tuple[str, str]]:
        for slot in self.slots.values():
            yield from ((slot.name, value.casefold()) for value in slot.values if isinstance(value, str))
        for flow in self.flows.values():
            for condition in (branch.condition for step in flow.steps for branch in step.next):
                try:
                    comparisons = condition.comparisons if condition is not None else ()
                except ConditionError:
                    continue  # it counts as false
                for name, value in comparisons:
                    if isinstance(value, str):
                        yield name.removeprefix("slots."), value.casefold()

    def _scoped_slots(self, flow: Flow) -> tuple[str, ...]:
        kept: set[str] = set()
        scoped: list[str] = []
        for part in (flow, *(self.flows[id] for id in self.assistant.called_flows(flow.id))):
            kept.update(part.persisted_slots)
            for step in part.steps:
                if isinstance(step, CollectStep):
                    scoped.append(step.slot)
                    if not step.reset_after_flow_ends:
                        kept.add(step.slot)
                elif isinstance(step, SetSlotsStep):
                    scoped.extend(name for name, _ in step.slots)
        return tuple(dict.fromkeys(name for name in scoped if name not in kept and name in self.slots))

    def described(self, flow: Flow) -> dict[str, Any]:
        """A flow as prompts show it: its own slots and those of flows it calls, if a model may set them."""
        slots = {}
        for step in self.assistant.collects_of(flow.id):
            slot = self.slots[step.slot]
            if slot.from_llm and step.slot not in slots:
                slots[step.slot] = {
                    "name": step.slot,
                    "description": " ".join(step.description.split()),
                    "allowed_values": slot.allowed_values,
                    "type": slot.type,
                }
        return {
            "id": flow.id,
            "name": flow.id,
            "description": " ".join(flow.description.split()),
            "slots": list(slots.values()),
        }

    def asked_step(self, stack: Sequence[Frame]) -> CollectStep | None:
        """The collect step whose question is open, or None."""
        for position in range(len(stack) - 1, 0, -1):
            frame, below = stack[position], stack[position - 1]
            if frame.flow == "pattern_validate_slot":
                return self._collect_of(frame.context["validate"], stack[:position])
            if (slot := frame.context.get("collect")) is not None:
                step = self.flows[below.flow].step(below.step)
                return step if isinstance(step, CollectStep) and step.slot == slot else None
            if not frame.is_pattern:
                return None
        return None

    def _collect_of(self, slot: str, stack: Sequence[Frame]) -> CollectStep | None:
        """The step that collects a slot in the topmost flow which does."""
        steps = (step for frame in reversed(stack) for step in self.assistant.collects_of(frame.flow))
        return next((step for step in steps if step.slot == slot), None)

    def fillable(self, stack: Sequence[Frame], starting: Iterable[str] = ()) -> set[str]:
        """Slots a command may set now: of the active flow and its callers, of patterns above it, of flows being started."""
        names: set[str] = set()
        for flow in starting:
            names |= self.collected[flow]
        for frame in reversed(stack):
            names |= self.collected[frame.flow]
            if not frame.is_pattern and frame.kind != "call":
                break
        return names

    def way(self, tracker: Tracker) -> list[Place]:
        """The collect and call steps that led the active flow to where it is, in their order.

        Going back to a step, or round in a loop, takes off what came after it.
        """
        frames = active_frames(tracker.stack)
        if not frames or not frames[-1].begun:
            return []
        events, base = tracker.events, frames[-1].flow
        start = next((at for at in reversed(range(len(events))) if events[at] == FlowStarted(base)), 0)
        within: dict[str, Place] = {base: ()}
        way: list[Place] = []
        for event in events[start:]:
            if not isinstance(event, StepVisited) or event.flow not in within:
                continue
            step = self.flows[event.flow].step(event.step)
            if isinstance(step, (CollectStep, CallStep)):
                place = (*within[event.flow], (event.flow, event.step))
                if place in way:
                    del way[way.index(place) :]
                way.append(place)
                if isinstance(step, CallStep):
                    within[step.flow] = place
        return way

    def way_back(self, tracker: Tracker, slots: Collection[str]) -> tuple[str, str] | None:
        """(flow, step) of the active flow where the first of some slots was asked for; None when none was yet.

        A slot of a called flow that has ended was asked for at its call.
        """
        waiting = {frame.flow: frame.step for frame in active_frames(tracker.stack)}
        for place in self.way(tracker):
            step = self.flows[place[-1][0]].step(place[-1][1])
            if isinstance(step, CollectStep) and step.slot in slots:
                ended = (at for at, (flow, call) in enumerate(place[:-1]) if waiting.get(flow) != call)
                return place[next(ended, len(place) - 1)]
        return None
