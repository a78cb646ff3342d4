"""What commands do to a conversation before the flows run: slots they set, frames they put on the stack."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from core.dialogue.commands import (
    CancelFlow,
    CannotHandle,
    ChitChat,
    Clarify,
    Command,
    HumanHandoff,
    InternalError,
    RepeatMessage,
    Restart,
    SearchAndReply,
    SessionStart,
    SetSlot,
    SkipQuestion,
    StartFlow,
    TriggerIntent,
)
from core.dialogue.default_actions import go_back
from core.dialogue.events import FlowsOffered, Warned
from core.dialogue.stack import Frame, active_frames, top_user_frame
from core.dialogue.turn import Turn
from core.dialogue.values import coerce

_ANSWERS: dict[type, str] = {
    ChitChat: "pattern_chitchat",
    SearchAndReply: "pattern_search",
    SkipQuestion: "pattern_skip_question",
    HumanHandoff: "pattern_human_handoff",
    RepeatMessage: "pattern_repeat_bot_messages",
    SessionStart: "pattern_session_start",
    Restart: "pattern_restart",
}


def apply(commands: Sequence[Command], turn: Turn) -> None:
    """Carry out cleaned commands.

    From the bottom of the stack up: flows to start (the first named on top), slot checks, a correction, a cancellation, and the
    patterns that answer at once (the first named on top).
    """
    if any(isinstance(command, SessionStart) for command in commands):
        turn.stack.clear()  # a new session knows nothing of flows in progress
    active = active_frames(turn.stack)
    starts = [command.flow for command in commands if isinstance(command, StartFlow)]
    starting = {slot for flow in starts for slot in turn.index.collected[flow]}
    cancelling = any(isinstance(command, CancelFlow) for command in commands)
    cancellation = _cancellation(active, turn) if cancelling else {}
    corrections: dict[str, Any] = {}
    checked: list[str] = []
    for command in commands:
        if not isinstance(command, SetSlot):
            continue
        if command.name not in starting and not cancelling and _corrects(command, active, turn):
            corrections[command.name] = command.value
        else:
            turn.set_slot(command.name, command.value)
            checked.append(command.name)
    correction = _correction(corrections, active, turn) if corrections else {}
    _start_flows(starts, turn, interrupting=bool(active))
    if correction:
        checked += _correct(correction, turn)
    for name in checked:
        _push_slot_validation(name, turn)
    if cancelling:
        turn.push_pattern("pattern_cancel_flow", cancellation)
    for command in reversed(commands):
        _push_answer(command, turn)


def _corrects(command: SetSlot, active: list[Frame], turn: Turn) -> bool:
    """True for another value of a filled slot of the active flow, whether it was asked for already or given ahead."""
    filled = turn.tracker.slots.get(command.name) is not None and command.value is not None
    return filled and any(command.name in turn.index.collected[frame.flow] for frame in active)


def _correct(correction: dict[str, Any], turn: Turn) -> list[str]:
    """Push the correction; returns the slots whose new value their validation refuses: those are asked for anew instead."""
    new = correction["corrected_slots"]
    refused = [name for name in new if _is_refused(name, new[name], turn)]
    for name in refused:
        turn.set_slot(name, new.pop(name))
    if refused:
        go_back(turn, correction["reset_flow_id"], correction["reset_step_id"])
    if new:
        turn.push_pattern("pattern_correction", {**correction, "new_slot_values": list(new.values())})
    return refused


def _is_refused(name: str, value: Any, turn: Turn) -> bool:
    slots = {**turn.tracker.slots, name: value}
    return any(rejection.condition.evaluate(slots, {}) for rejection in turn.index.slots[name].rejections)


def _start_flows(flows: Sequence[str], turn: Turn, interrupting: bool) -> None:
    if not flows:
        return
    _drop_closing_questions(turn)
    for flow in reversed(flows):
        if not _resume(flow, turn):
            turn.push(flow, "interrupt" if interrupting else "regular")


def _drop_closing_questions(turn: Turn) -> None:
    """A new flow makes the patterns that ask what to do next (go on? anything else?) pointless."""
    for position, frame in enumerate(turn.stack):
        closing = frame.flow in ("pattern_completed", "pattern_customer_satisfaction", "pattern_continue_interrupted")
        if closing and top_user_frame(turn.stack[position:]) is None:
            del turn.stack[position:]
            return


def _resume(flow: str, turn: Turn) -> bool:
    """Bring a flow that waits lower on the stack to the top, with the frames that belong to it."""
    first = next((at for at, frame in enumerate(turn.stack) if frame.flow == flow and not frame.is_pattern), None)
    if first is None:
        return False
    end = first + 1
    while end < len(turn.stack) and (turn.stack[end].is_pattern or turn.stack[end].kind == "call"):
        end += 1
    turn.raise_to_top(first, end)
    return True


def _push_slot_validation(name: str, turn: Turn) -> None:
    slot = turn.index.slots[name]
    is_open = bool(turn.stack) and turn.stack[-1].context.get("validate") == name
    if slot.rejections and not is_open:
        context = {
            "validate": name,
            "refill_utter": slot.refill_utter or f"utter_ask_{name}",
            "refill_action": f"action_ask_{name}",
            "rejections": slot.rejections,
        }
        turn.push_pattern("pattern_validate_slot", context)


def _correction(new: Mapping[str, Any], active: list[Frame], turn: Turn) -> dict[str, Any]:
    """Context of pattern_correction: the flow goes back to the earliest collect of a corrected slot, in flow order.

    A correction that is still being asked about is taken over. A flow that has asked for none of the slots stays where it is.
    """
    new = {**_end_open_correction(turn), **new}
    flow, step = turn.index.way_back(turn.tracker, new) or (None, None)
    asked = [step for step in turn.index.assistant.collects_of(active[-1].flow) if step.slot in new]
    return {
        "corrected_slots": dict(new),
        "new_slot_values": list(new.values()),
        "reset_flow_id": flow,
        "reset_step_id": step,
        "is_reset_only": {step.slot for step in asked} >= new.keys() and all(step.ask_before_filling for step in asked),
    }


def _end_open_correction(turn: Turn) -> Mapping[str, Any]:
    """Take a correction that waits for an answer off the stack; returns what it was to change."""
    for at in range(len(turn.stack) - 1, -1, -1):
        frame = turn.stack[at]
        if frame.flow == "pattern_correction":
            del turn.stack[at:]
            corrected: Mapping[str, Any] = frame.context["corrected_slots"]
            return corrected
        if not frame.is_pattern:
            break
    return {}


def _cancellation(active: list[Frame], turn: Turn) -> dict[str, Any]:
    base = active[-1]
    above = turn.stack[turn.stack.index(base) :]
    return {"canceled_name": turn.flow(base).name, "canceled_frames": [frame.id for frame in above]}


def _push_answer(command: Command, turn: Turn) -> None:
    if type(command) in _ANSWERS:
        turn.push_pattern(_ANSWERS[type(command)])
    elif isinstance(command, CannotHandle):
        turn.push_pattern("pattern_cannot_handle", {"reason": command.reason})
    elif isinstance(command, InternalError):
        turn.push_pattern("pattern_internal_error", {"error_type": command.error_type, "info": dict(command.info)})
    elif isinstance(command, Clarify):
        limit = int(turn.tracker.slots.get("max_clarification_options") or 3)
        flows = command.flows[:limit] if turn.index.limits_options else command.flows
        turn.emit(FlowsOffered(flows))
        turn.push_pattern("pattern_clarification", {"names": [turn.index.flows[flow].name for flow in flows]})
    elif isinstance(command, TriggerIntent):
        _trigger(command, turn)


def _trigger(command: TriggerIntent, turn: Turn) -> None:
    """An intent payload: fills slots mapped to it, then starts the flow or pattern that names the intent."""
    entities = dict(command.entities)
    flow = turn.index.by_intent.get(command.intent)
    starting = [] if flow is None or any(frame.flow == flow for frame in turn.stack) else [flow]
    fillable = turn.index.fillable(turn.stack, starting)  # the flow that the intent starts may collect what it fills
    active = {*starting, *(frame.flow for frame in active_frames(turn.stack))}
    before = len(turn.events)
    for slot in turn.index.slots.values():
        for mapping in slot.mappings:
            if not mapping.fills(active):
                continue
            if mapping.type == "from_entity" and mapping.options.get("entity", slot.name) in entities:
                turn.set_slot(slot.name, coerce(slot, entities[mapping.options.get("entity", slot.name)]))
            elif (
                mapping.type == "from_intent"
                and mapping.options.get("intent") == command.intent
                and slot.name in fillable
            ):
                turn.set_slot(slot.name, coerce(slot, mapping.options.get("value")))
    if flow is None:
        if len(turn.events) == before:
            turn.emit(Warned(f"/{command.intent} starts no flow and fills no slot; it was left aside"))
        return
    if turn.index.flows[flow].is_pattern:
        turn.push_pattern(flow)
    elif starting:
        _start_flows(starting, turn, interrupting=top_user_frame(turn.stack) is not None)
