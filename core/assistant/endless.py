"""Flows that never come to a stop: links, jumps and calls in circles without a question in between, and chains of calls without end."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

from core.assistant.flows import END, ActionStep, CallStep, CollectStep, Flow, LinkStep, Step

MOST_CALLED = 500
"""Flows that one flow may come to call."""

Place = tuple[str, str]
"""(flow id, step id)"""


def endless_steps(flows: Mapping[str, Flow]) -> Iterator[tuple[Flow, Step]]:
    """The first step of each flow from which no way ends or listens.

    A question, a called flow and `action_listen` count as stops, and so do conditions that may all be false.
    """
    before: dict[Place, list[Place]] = defaultdict(list)
    stopping: list[Place] = []
    for flow in flows.values():
        for step in flow.steps:
            for target in _onward(flow, step, flows):
                if target is None:
                    stopping.append((flow.id, step.id))
                else:
                    before[target].append((flow.id, step.id))
    stops = set(stopping)
    while stopping:
        for place in before[stopping.pop()]:
            if place not in stops:
                stops.add(place)
                stopping.append(place)
    for flow in flows.values():
        for step in flow.steps:
            if (flow.id, step.id) not in stops:
                yield flow, step
                break


def _onward(flow: Flow, step: Step, flows: Mapping[str, Flow]) -> Iterable[Place | None]:
    """Where a step leads; None for a stop."""
    if isinstance(step, (CollectStep, CallStep)) or (isinstance(step, ActionStep) and _listens(step)):
        return [None]
    if isinstance(step, LinkStep):
        target = flows.get(step.flow)
        return [None if target is None or target.first == END else (target.id, target.first)]
    # a target that is no step is a mistake of its own, not a circle
    targets = [(flow.id, branch.target) if flow.has(branch.target) else None for branch in step.next]
    return [*targets, None] if not step.next or step.next[-1].condition is not None else targets


def _listens(step: ActionStep) -> bool:
    return step.action == "action_listen" or "{{" in step.action


def call_problem(start: str, flows: Mapping[str, Flow]) -> str | None:
    """What is wrong with the flows that a flow comes to call; None when nothing is."""
    seen: set[str] = set()
    queue = [start]
    while queue:
        for call in flows[queue.pop()].calls():
            if call.flow == start:
                return "which comes to call itself"
            if call.flow in flows and call.flow not in seen:
                seen.add(call.flow)
                queue.append(call.flow)
        if len(seen) > MOST_CALLED:
            return f"which comes to call more than {MOST_CALLED} flows; call fewer, or link"
    return None
