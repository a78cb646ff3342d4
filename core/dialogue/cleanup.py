"""Clean-up of commands: which of a model's commands count, given where the conversation stands."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile

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


def clean_up(commands: Sequence[Command], tracker: Tracker, index: FlowIndex) -> tuple[Command, ...]:
    """The commands that count, in their order, values coerced to the slots' types.

    What repeats the present state (starting the active flow, setting a slot to its value) is dropped without a trace; when only
    unusable commands were given (unknown flows, slots nobody may set now), the outcome is CannotHandle.
    """
    asked = index.asked_step(tracker.stack)
    if asked is not None and asked.force_slot_filling:
        commands = [command for command in commands if isinstance(command, SetSlot) and command.name == asked.slot]
    commands = [_among_known_flows(command, tracker, index) for command in dict.fromkeys(commands)]
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
            elif not _is_active(command.flow, tracker, index):
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


def _is_active(flow: str, tracker: Tracker, index: FlowIndex) -> bool:
    """True when starting a flow would change nothing: it is the one in progress (before 3.14 also one that waits)."""
    if not index.resumes_flows:
        return any(frame.flow == flow for frame in tracker.stack)
    above = takewhile(lambda frame: frame.is_pattern, reversed(tracker.stack))
    waits_for_consent = any(frame.flow == "pattern_continue_interrupted" for frame in above)
    return not waits_for_consent and any(frame.flow == flow for frame in active_frames(tracker.stack))


def _among_known_flows(command: Command, tracker: Tracker, index: FlowIndex) -> Command:
    """A clarification among flows a user may ask for; with a single one left there is nothing to clarify: start it."""
    if not isinstance(command, Clarify) or (not command.flows and index.limits_options):
        return command
    waiting = {frame.flow for frame in tracker.stack if not frame.is_pattern}
    known = tuple(dict.fromkeys(flow for flow in command.flows if flow in waiting or startable(flow, tracker, index)))
    if not known:
        return CannotHandle()
    return StartFlow(known[0]) if len(known) == 1 else Clarify(known)


def _last_value_of_each_slot(commands: list[Command]) -> list[Command]:
    last = {command.name: command for command in commands if isinstance(command, SetSlot)}
    return [command for command in commands if not isinstance(command, SetSlot) or last[command.name] is command]
