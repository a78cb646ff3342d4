"""What of an assistant nothing ever reaches here: flows that nothing starts, questions no message can answer, responses never said."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from core.assistant.domain import Domain, Slot
from core.assistant.flows import CallStep, Flow, LinkStep
from core.assistant.repair import defaults
from core.errors import Problem
from core.near import near

_NEEDS_NLU = frozenset({"from_entity", "from_intent", "from_text", "from_trigger_intent"})


def unreached(flows: Mapping[str, Flow], domain: Domain) -> Iterator[Problem]:
    """Warnings about the owner's flows, slots and responses; the rest of the assistant runs."""
    targets = {step.flow for flow in flows.values() for step in flow.steps if isinstance(step, (LinkStep, CallStep))}
    for flow in flows.values():
        if (reason := _never_starts(flow, flow.id in targets)) is not None:
            yield Problem(flow.lines.file, flow.lines.first, reason, "warning")
        for step in flow.collects():
            slot = domain.slots.get(step.slot)
            if slot is not None and _is_for_nlu(slot):
                kinds = " and ".join(mapping.type for mapping in slot.mappings)
                yield Problem(
                    step.lines.file,
                    step.lines.first,
                    f"collect {step.slot}: its mapping {kinds} needs an NLU pipeline, so typed messages cannot answer here; "
                    "add the mapping from_llm",
                    "warning",
                )
    for slot in domain.slots.values():
        for name in (name for mapping in slot.mappings for name in mapping.active_flows if name not in flows):
            message = (
                f"slot {slot.name}: active_flow {name} is no flow, so the mapping fills nothing{near(name, flows)}"
            )
            yield Problem(slot.lines.file, slot.lines.first, message, "warning")
    for response in domain.responses.values():
        if response.variations and all(variation.channel for variation in response.variations):
            yield Problem(
                response.lines.file,
                response.lines.first,
                f"response {response.name} has variations for channels only; tests have none, so it is never said here",
                "warning",
            )


def _is_for_nlu(slot: Slot) -> bool:
    return bool(slot.mappings) and all(mapping.type in _NEEDS_NLU for mapping in slot.mappings)


def reached_from(flow: str, flows: Mapping[str, Flow]) -> frozenset[str]:
    """A flow and those that it calls or links to, directly or not."""
    reached, queue = {flow}, [flow]
    while queue:
        for step in flows[queue.pop()].steps:
            if isinstance(step, (CallStep, LinkStep)) and step.flow in flows and step.flow not in reached:
                reached.add(step.flow)
                queue.append(step.flow)
    return frozenset(reached)


def _never_starts(flow: Flow, is_target: bool) -> str | None:
    """Why nothing starts a flow, or None."""
    if is_target:
        return None
    if flow.is_pattern:
        known = defaults().flows
        if flow.id in known or flow.nlu_triggers:
            return None
        return f"{flow.id} is no default pattern, so nothing starts it{near(flow.id, known)}"
    if not flow.never_startable:
        return None
    if flow.nlu_triggers:
        intents = " and ".join(f"/{trigger.intent}" for trigger in flow.nlu_triggers)
        return f"flow {flow.id} can be reached through an intent only; typed text is not classified here, so only {intents} starts it"
    return f"flow {flow.id} has `if: false` and no flow links to it or calls it, so nothing starts it"
