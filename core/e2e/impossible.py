"""Expectations that no conversation can fulfil: names that do not exist, values a slot cannot take."""

from __future__ import annotations

from collections.abc import Iterable

from core.assistant.project import Assistant
from core.assistant.repair import DEFAULT_ACTION_NAMES
from core.dialogue.values import acceptable, coerce
from core.e2e.cases import ANY, Check, TestCase
from core.e2e.results import Failure
from core.near import near


def impossible(case: TestCase, assistant: Assistant) -> Failure | None:
    """The first check of a test that cannot hold, given the assistant with its default patterns; None when all can."""
    for check in (*case.opening, *(check for turn in case.turns for check in turn.checks)):
        if (reason := _reason(check, assistant)) is not None:
            return Failure(check, check.line, reason, (f"! {reason}",))
    return None


def _reason(check: Check, assistant: Assistant) -> str | None:
    responses, actions = assistant.domain.responses, {*assistant.domain.actions, *DEFAULT_ACTION_NAMES}
    value = check.value
    if check.kind == "utter" and value not in responses and value not in actions:
        return _unknown("response", value, responses)
    if check.kind == "bot_uttered" and (name := value.get("utter_name")) is not None and name not in responses:
        return _unknown("response", str(name), responses)
    if check.kind == "action_executed" and value not in actions and value not in responses:
        return _unknown("action", value, actions) if value.startswith("utter_") else None
    if check.kind in ("flow_started", "pattern_clarification_contains") and value[0] == "all":
        missing = [flow for flow in value[1] if flow not in assistant.flows]
        return _unknown("flow", missing[0], assistant.flows) if missing else None
    if check.kind in ("flow_completed", "flow_cancelled") and value[0] not in assistant.flows:
        return _unknown("flow", value[0], assistant.flows)
    if check.kind == "slot_was_set":
        slot = assistant.domain.slots.get(value[0])
        if slot is None:
            return _unknown("slot", value[0], assistant.domain.slots)
        if value[1] is not ANY and slot.from_llm and not acceptable(slot, coerce(slot, value[1])):
            return f"slot {slot.name} is {slot.type} and can never be {value[1]!r}"
    return None


def _unknown(what: str, name: str, known: Iterable[str]) -> str:
    return f"there is no {what} {name}{near(name, known)}"
