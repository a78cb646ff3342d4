"""Names in responses that nothing stands behind: placeholders that no slot fills, buttons that set no slot or no value of it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from core.assistant.domain import Response, Slot, Variation
from core.assistant.flows import ActionStep, CollectStep, Flow
from core.assistant.set_slots import EMPTY, read_set_slots
from core.errors import Problem, UsageError
from core.near import near

_PLACEHOLDER = re.compile(r"(?<!\{)\{(\w+)\}(?!\})")
_CALL = re.compile(r"/(?P<name>\w+)\([^{}]*\)\s*\Z")


def odd_responses(flows: Iterable[Flow], responses: Iterable[Response], slots: Mapping[str, Slot]) -> Iterator[Problem]:
    """A warning for each such name. Actions may fill other placeholders: only what flows themselves say is looked at."""
    said = {name for flow in flows for name in _said(flow)}
    for response in responses:
        complaints = (
            one for variation in response.variations for one in _complaints(variation, response.name in said, slots)
        )
        for complaint in dict.fromkeys(complaints):
            message = f"response {response.name}: {complaint}"
            yield Problem(response.lines.file, response.lines.first, message, "warning")


def misfit(slot: Slot, value: str) -> str:
    """What is wrong with a value for a slot; "" when it has no values of its own, or that one."""
    allowed = [str(one) for one in slot.values]
    if slot.type != "categorical" or value.casefold() in (one.casefold() for one in allowed):
        return ""
    return f"slot {slot.name} is one of {', '.join(allowed)}{near(value, allowed)}"


def _said(flow: Flow) -> Iterator[str]:
    for step in flow.steps:
        if isinstance(step, ActionStep):
            yield step.action
        elif isinstance(step, CollectStep):
            yield from (step.utter, *(rejection.utter for rejection in step.rejections))


def _complaints(variation: Variation, is_said: bool, slots: Mapping[str, Slot]) -> Iterator[str]:
    if is_said and not variation.is_jinja:
        for name in _PLACEHOLDER.findall(variation.text or ""):
            if name not in slots:
                yield f"{{{name}}} is no slot of the domain and stays as it is{near(name, slots)}"
    for button in variation.buttons:
        call = _CALL.match(button.payload)
        if call is None:
            continue
        if call["name"] != "SetSlots":
            yield f"the button {button.payload} is neither /SetSlots(slot=value) nor an intent; it counts as text"
            continue
        try:
            pairs = read_set_slots(button.payload) or []
        except UsageError:
            continue  # told when it is pressed
        for name, value in pairs:
            if name not in slots:
                yield f"the button {button.payload} sets {name}, which is no slot of the domain{near(name, slots)}"
            elif value.casefold() not in EMPTY and (wrong := misfit(slots[name], value)):
                yield f"the button {button.payload} sets {value}: {wrong}"
