"""What the engine looks up about flows again and again, computed once for an assistant."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from core.assistant.flows import CollectStep, Flow, SetSlotsStep
from core.assistant.project import Assistant
from core.dialogue.events import FlowStarted, StepVisited
from core.dialogue.stack import Frame, active_frames
from core.dialogue.tracker import Tracker


class FlowIndex:
    """Slots and intents of each flow, and where a conversation stands in them."""

    def __init__(self, assistant: Assistant) -> None:
        self.assistant = assistant
        self.flows = assistant.flows
        self.slots = assistant.domain.slots
        self.initial_slots = {slot.name: slot.initial_value for slot in self.slots.values()}
        self.collected = {id: frozenset(step.slot for step in assistant.collects_of(id)) for id in self.flows}
        """Flow id → slots its collect steps ask for, called flows included."""
        self.scoped = {id: self._scoped_slots(flow) for id, flow in self.flows.items()}
        """Flow id → slots to reset when it ends, called flows included."""
        self.by_intent = {trigger.intent: flow.id for flow in self.flows.values() for trigger in flow.nlu_triggers}

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

    def asked_step(self, stack: Sequence[Frame]) -> CollectStep | None:
        """The collect step whose question is open, or None."""
        for position in range(len(stack) - 1, 0, -1):
            slot = stack[position].context.get("collect")
            if slot is not None:
                below = stack[position - 1]
                step = self.flows[below.flow].step(below.step)
                return step if isinstance(step, CollectStep) and step.slot == slot else None
            if not stack[position].is_pattern:
                return None
        return None

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

    def asked_slots(self, tracker: Tracker) -> list[str]:
        """Slots the active flow has come past so far, in the order of the first visit."""
        frames = active_frames(tracker.stack)
        if not frames:
            return []
        base, inside = frames[-1].flow, {frames[-1].flow, *self.assistant.called_flows(frames[-1].flow)}
        visits: list[str] = []
        for event in reversed(tracker.events):
            if isinstance(event, StepVisited) and event.flow in inside:
                step = self.flows[event.flow].step(event.step)
                if isinstance(step, CollectStep):
                    visits.append(step.slot)
            elif isinstance(event, FlowStarted) and event.flow == base:
                break
        return list(dict.fromkeys(reversed(visits)))
