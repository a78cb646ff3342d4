"""The default actions (`action_…`) that patterns are made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from core.assistant.domain import Slot
from core.assistant.flows import Rejection
from core.assistant.repair import DEFAULT_ACTION_NAMES
from core.dialogue.events import BotSaid, FlowCancelled, SessionStarted, UserSaid
from core.dialogue.stack import Frame
from core.dialogue.turn import Turn, listed
from core.dialogue.values import acceptable

Say = Callable[..., None]
"""say(response name, **extra template variables)"""

ASKING_PATTERNS = frozenset({"pattern_collect_information", "pattern_validate_slot"})
TYPE_REJECTIONS = {
    "bool": "utter_boolean_slot_rejection",
    "categorical": "utter_categorical_slot_rejection",
    "float": "utter_float_slot_rejection",
}


def run_slot_rejections(turn: Turn, say: Say) -> None:
    """Clear the slot being asked for when its value is of the wrong type or a rejection applies, and say so."""
    context = turn.stack[-1].context
    name = context.get("collect") or context.get("validate")
    slot = turn.index.slots.get(name) if name else None
    if slot is None or (value := turn.tracker.slots.get(slot.name)) is None:
        return
    if not acceptable(slot, value):
        _reject(slot, value, TYPE_REJECTIONS[slot.type], turn, say)
        return
    rejections: tuple[Rejection, ...] = context.get("rejections", ())
    for rejection in rejections:
        if rejection.condition.evaluate(turn.tracker.slots, turn.context):
            _reject(slot, value, rejection.utter, turn, say)
            return


def _reject(slot: Slot, value: Any, utter: str, turn: Turn, say: Say) -> None:
    say(utter, value=value, slot=slot.name)  # before clearing: the text may name the refused value
    turn.set_slot(slot.name, None)


def correct_flow_slot(turn: Turn, say: Say) -> None:
    """Take over corrected values; the flow goes back to where the first of them was asked."""
    context = turn.stack[-1].context
    for name, value in context.get("corrected_slots", {}).items():
        turn.set_slot(name, value)
    go_back(turn, context.get("reset_flow_id"), context.get("reset_step_id"))


def go_back(turn: Turn, flow: str | None, step: str | None) -> None:
    """Let a flow go on at an earlier step, without the flows it called and what was asked for it; None for no flow."""
    at = next((at for at in reversed(range(len(turn.stack))) if turn.stack[at].flow == flow), None)
    if at is not None and step is not None:
        turn.stack[at : _group_end(turn, at)] = [replace(turn.stack[at], step=step)]


def cancel_flow(turn: Turn, say: Say) -> None:
    """End the cancelled flow with the flows it called and every pattern that ran on top of it."""
    cancelled = set(turn.stack[-1].context.get("canceled_frames", ()))
    frames = [frame for frame in turn.stack if frame.id in cancelled]
    if frames:
        turn.after_end(frames[0], _cancel(turn, frames))


def _cancel(turn: Turn, frames: list[Frame]) -> int:
    """Cancel a business flow, given with the frames above it that go with it; returns the position where it stood."""
    start = turn.stack.index(frames[0])
    turn.stack[:] = [frame for frame in turn.stack if frame not in frames]
    for frame in reversed(frames):
        if not frame.is_pattern:
            turn.emit(FlowCancelled(frame.flow, frame.step))
    turn.reset_slots(turn.index.scoped[frames[0].flow])
    return start


def _group_end(turn: Turn, start: int) -> int:
    """Position after the frames that belong to the one at `start`: flows it called, questions asked for it."""
    end = start + 1
    while end < len(turn.stack) and (turn.stack[end].flow in ASKING_PATTERNS or turn.stack[end].kind == "call"):
        end += 1
    return end


def clarify_flows(turn: Turn, say: Say) -> None:
    """Turn the names of the options into one phrase."""
    frame = turn.stack[-1]
    options = listed(list(frame.context.get("names", ())))
    turn.stack[-1] = replace(frame, context={**frame.context, "clarification_options": options})


def continue_interrupted_flow(turn: Turn, say: Say) -> None:
    """Of several interrupted flows, bring the chosen one to the top; a single one is on top already."""
    chosen = str(turn.tracker.slots.get("interrupted_flow_to_continue") or "").casefold()
    for frame in _interrupted(turn):
        if chosen in (frame.flow.casefold(), turn.flow(frame).name.casefold()):
            start = turn.stack.index(frame)
            turn.raise_to_top(start, _group_end(turn, start), below_last=1)  # the pattern that asked stays on top
            return


def cancel_interrupted_flows(turn: Turn, say: Say) -> None:
    """End every interrupted flow."""
    for frame in reversed(_interrupted(turn)):
        start = turn.stack.index(frame)
        _cancel(turn, turn.stack[start : _group_end(turn, start)])


def _interrupted(turn: Turn) -> list[Frame]:
    return [frame for frame in turn.stack if not frame.is_pattern and frame.kind != "call" and frame.begun]


def session_start(turn: Turn, say: Say) -> None:
    turn.emit(SessionStarted())


def restart(turn: Turn, say: Say) -> None:
    """Empty the stack, every slot back to its initial value, a new session."""
    turn.stack.clear()
    turn.reset_slots(turn.index.slots)
    turn.emit(SessionStarted())
    turn.push_pattern("pattern_session_start")


def clean_stack(turn: Turn, say: Say) -> None:
    """Drop every flow in progress, keeping the pattern that asked for it."""
    turn.stack[:-1] = []


def trigger_chitchat(turn: Turn, say: Say) -> None:
    """Small talk needs a policy that writes free text; there is none here, so the assistant says that it cannot."""
    turn.push_pattern("pattern_cannot_handle", {"reason": "cannot_handle_chitchat"})


def trigger_search(turn: Turn, say: Say) -> None:
    """Search needs a knowledge base; there is none here, so the assistant says that it found nothing."""
    turn.push_pattern("pattern_cannot_handle", {"reason": "cannot_handle_no_relevant_answer"})


def repeat_bot_messages(turn: Turn, say: Say) -> None:
    """Say again what was said between the last two messages of the user."""
    said: list[BotSaid] = []
    users = 0
    for event in reversed(turn.tracker.session_events):
        if isinstance(event, UserSaid):
            users += 1
            if users == 2:
                break
        elif isinstance(event, BotSaid) and users == 1:
            said.append(event)
    for message in reversed(said):
        turn.emit(message)


def nothing(turn: Turn, say: Say) -> None:
    """Actions whose effect lies outside a text conversation, or belongs to rules and forms."""


DEFAULT_ACTIONS: dict[str, Callable[[Turn, Say], None]] = {
    **dict.fromkeys(DEFAULT_ACTION_NAMES - {"action_listen"}, nothing),
    "action_run_slot_rejections": run_slot_rejections,
    "action_correct_flow_slot": correct_flow_slot,
    "action_cancel_flow": cancel_flow,
    "action_clarify_flows": clarify_flows,
    "action_continue_interrupted_flow": continue_interrupted_flow,
    "action_cancel_interrupted_flows": cancel_interrupted_flows,
    "action_session_start": session_start,
    "action_restart": restart,
    "action_clean_stack": clean_stack,
    "action_trigger_chitchat": trigger_chitchat,
    "action_trigger_search": trigger_search,
    "action_repeat_bot_messages": repeat_bot_messages,
}
"""`action_listen` is not here: it is where the engine stops."""
