"""Clean-up of commands: which of a model's commands count, given where the conversation stands."""

from __future__ import annotations

from collections.abc import Sequence

from core.assistant.flows import Flow
from core.dialogue.commands import (
    CancelFlow,
    CannotHandle,
    Clarify,
    Command,
    SetSlot,
    SkipQuestion,
    StartFlow,
)
from core.dialogue.flow_index import FlowIndex
from core.dialogue.stack import active_frames, top_user_frame
from core.dialogue.tracker import Tracker
from core.dialogue.values import coerce, same


def clean_up(
    commands: Sequence[Command], tracker: Tracker, index: FlowIndex, resume_flows: bool = True
) -> tuple[Command, ...]:
    """The commands that count, in their order, values coerced to the slots' types.

    What repeats the present state (starting the active flow, setting a slot to its value) is dropped without a trace; when only
    unusable commands were given (unknown flows, slots nobody may set now), the outcome is CannotHandle.
    `resume_flows` False drops a start of any flow on the stack (versions before 3.14).
    """
    asked = index.asked_step(tracker.stack)
    if asked is not None and asked.force_slot_filling:
        commands = [command for command in commands if isinstance(command, SetSlot) and command.name == asked.slot]
    commands = [_with_flow_of_single_option(command, index) for command in dict.fromkeys(commands)]
    starting = [
        command.flow
        for command in commands
        if isinstance(command, StartFlow) and startable(command.flow, tracker, index)
    ]
    fillable = index.fillable(tracker.stack, starting)
    active = {*starting, *(frame.flow for frame in active_frames(tracker.stack))}
    kept: list[Command] = []
    unusable = not commands
    for command in commands:
        if isinstance(command, StartFlow):
            if command.flow not in starting:
                unusable = True
            elif not _is_active(command.flow, tracker, resume_flows):
                kept.append(command)
        elif isinstance(command, SetSlot):
            slot = index.slots.get(command.name)
            if slot is None or not slot.filled_by_commands(active) or command.name not in fillable:
                unusable = True
            elif not same(slot, command.value, tracker.slots[command.name]):
                kept.append(SetSlot(command.name, coerce(slot, command.value)))
        elif isinstance(command, CancelFlow):
            if top_user_frame(tracker.stack) is not None:
                kept.append(command)
        elif isinstance(command, SkipQuestion):
            if asked is not None:
                kept.append(command)
        else:
            kept.append(command)
    kept = _last_value_of_each_slot(kept)
    if len(kept) > 1:
        kept = [command for command in kept if not isinstance(command, (Clarify, CannotHandle))] or kept[:1]
    return tuple(kept) or ((CannotHandle(),) if unusable else ())


def accept_payload(commands: Sequence[Command], tracker: Tracker, index: FlowIndex) -> tuple[Command, ...]:
    """Commands of a button: any slot of the domain may be set, whatever its mapping; unknown slots are dropped."""
    kept: list[Command] = []
    for command in commands:
        if not isinstance(command, SetSlot):
            kept.append(command)
        elif (slot := index.slots.get(command.name)) is not None and not same(
            slot, command.value, tracker.slots[slot.name]
        ):
            kept.append(SetSlot(command.name, coerce(slot, command.value)))
    return tuple(kept)


def startable(flow_id: str, tracker: Tracker, index: FlowIndex) -> bool:
    """True when a user may start this flow now: it exists, is no pattern, and its guard holds."""
    flow: Flow | None = index.flows.get(flow_id)
    if flow is None or flow.is_pattern or flow.never_startable:
        return False
    return flow.guard is None or flow.guard.evaluate(tracker.slots, {})


def _is_active(flow: str, tracker: Tracker, resume_flows: bool) -> bool:
    frames = active_frames(tracker.stack) if resume_flows else tracker.stack
    return any(frame.flow == flow for frame in frames)


def _with_flow_of_single_option(command: Command, index: FlowIndex) -> Command:
    """A clarification among known flows only; with a single one left there is nothing to clarify: start it."""
    if not isinstance(command, Clarify) or not command.flows:
        return command
    known = tuple(dict.fromkeys(flow for flow in command.flows if flow in index.flows))
    if not known:
        return CannotHandle()
    return StartFlow(known[0]) if len(known) == 1 else Clarify(known)


def _last_value_of_each_slot(commands: list[Command]) -> list[Command]:
    last = {command.name: command for command in commands if isinstance(command, SetSlot)}
    return [command for command in commands if not isinstance(command, SetSlot) or last[command.name] is command]
