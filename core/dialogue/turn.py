"""The working state of one turn: a stack being changed, events being written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from core.assistant.flows import Flow
from core.dialogue.events import Event, FlowCompleted, FlowInterrupted, FlowResumed, FlowStarted, SlotSet, StackChanged
from core.dialogue.flow_index import FlowIndex
from core.dialogue.stack import Frame, FrameKind, top_user_frame
from core.dialogue.tracker import Tracker


class Turn:
    """Changes one tracker. `finish` writes the stack back; until then only `stack` here is current."""

    __slots__ = ("_last_id", "events", "index", "stack", "tracker")

    def __init__(self, tracker: Tracker, index: FlowIndex) -> None:
        self.tracker = tracker
        self.index = index
        self.stack: list[Frame] = list(tracker.stack)
        self.events: list[Event] = []
        self._last_id = max((frame.id for frame in self.stack), default=0)

    def emit(self, event: Event) -> None:
        self.events.append(event)
        self.tracker.apply(event)

    def finish(self) -> None:
        """Write the stack to the tracker; custom actions and the next turn read it there."""
        if self.tracker.stack != (stack := tuple(self.stack)):
            self.emit(StackChanged(stack))

    @property
    def context(self) -> Mapping[str, Any]:
        """Properties of the top frame, as `context.…` sees them."""
        if not self.stack:
            return {}
        top = self.stack[-1]
        return {**top.context, "flow_id": top.flow, "step_id": top.step}

    def flow(self, frame: Frame) -> Flow:
        return self.index.flows[frame.flow]

    # Slots

    def set_slot(self, name: str, value: Any) -> None:
        self.emit(SlotSet(name, value))

    def reset_slots(self, names: Iterable[str]) -> None:
        """Back to their initial values, silently for those that have them already."""
        for name in names:
            initial = self.index.slots[name].initial_value
            if self.tracker.slots.get(name) != initial:
                self.emit(SlotSet(name, initial, reset=True))

    # Frames

    def raise_to_top(self, start: int, end: int, below_last: int = 0) -> None:
        """Let the frames from `start` to before `end` go on above all others but the last few; they interrupt those now."""
        first, *others = self.stack[start:end]
        del self.stack[start:end]
        at = len(self.stack) - below_last
        self.stack[at:at] = [replace(first, kind="interrupt"), *others]

    def push(
        self, flow_id: str, kind: FrameKind, context: Mapping[str, Any] | None = None, at: int | None = None
    ) -> None:
        """Put a flow on the stack (below others with `at`). It begins when the engine reaches it."""
        position = len(self.stack) if at is None else at
        self._last_id += 1
        self.stack.insert(
            position, Frame(flow_id, self.index.flows[flow_id].first, kind, context or {}, id=self._last_id)
        )

    def push_pattern(self, flow_id: str, context: Mapping[str, Any] | None = None, at: int | None = None) -> None:
        self.push(flow_id, "pattern", context, at)

    def begin(self) -> Frame:
        """Mark the top frame as begun."""
        frame = self.stack[-1]
        below = top_user_frame(self.stack[:-1])
        if below is not None and below.begun and frame.kind in ("interrupt", "regular"):
            self.emit(FlowInterrupted(below.flow, below.step))
        self.emit(FlowStarted(frame.flow))
        self.stack[-1] = frame = replace(frame, begun=True)
        return frame

    def position(self, frame: Frame) -> int | None:
        """Where a frame stands now, or None when it is gone."""
        return next((at for at in range(len(self.stack) - 1, -1, -1) if self.stack[at].id == frame.id), None)

    def move_to(self, frame: Frame, step_id: str) -> None:
        """Let a frame go on at another step; nothing happens when it is gone."""
        if (at := self.position(frame)) is not None:
            self.stack[at] = replace(self.stack[at], step=step_id)

    def complete(self, frame: Frame, last_step: str) -> None:
        """Take an ended frame off the stack and do what its end calls for."""
        at = self.position(frame)
        if at is None:
            return
        del self.stack[at]
        self.emit(FlowCompleted(frame.flow, last_step))
        if frame.kind != "call":
            self.reset_slots(self.index.scoped[frame.flow])
        if not frame.is_pattern and frame.kind != "call":
            self.after_end(frame, at)

    def after_end(self, frame: Frame, at: int) -> None:
        """A business flow ended (or was cancelled) at a position of the stack: go back to what it interrupted, or close."""
        if top_user_frame(self.stack[at:]) is not None:
            return  # what the same message started runs first; its end calls for the same
        below = top_user_frame(self.stack[:at])
        if below is not None:
            if frame.kind == "interrupt" and below.begun:
                self.emit(FlowResumed(below.flow, below.step))
                self.push_pattern("pattern_continue_interrupted", self._interrupted_context(at), at)
        elif self.flow(frame).run_pattern_completed:
            self.push_pattern("pattern_completed", {"previous_flow_name": self.flow(frame).name}, at)

    def _interrupted_context(self, at: int) -> dict[str, Any]:
        frames = [
            frame
            for frame in reversed(self.stack[:at])
            if not frame.is_pattern and frame.kind != "call" and frame.begun
        ]
        names = [self.flow(frame).name for frame in frames]
        return {
            "previous_flow_name": names[0] if names else "",
            "interrupted_flow_names": names,
            "interrupted_flow_ids": [frame.flow for frame in frames],
            "interrupted_flow_options": listed(names),
            "multiple_flows_interrupted": len(frames) > 1,
        }


def listed(names: list[str]) -> str:
    """ "a", "a or b", "a, b or c"."""
    return " or ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names)
