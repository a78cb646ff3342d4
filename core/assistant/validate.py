"""Checks of a whole project that no single file can make. An error is what cannot run; what merely looks odd is a warning."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from core.assistant.conditions import EMPTY, UNDEFINED, ConditionError, Predicate
from core.assistant.domain import Domain, Slot
from core.assistant.endless import call_problem, endless_steps
from core.assistant.flows import (
    END,
    ActionStep,
    CallStep,
    CollectStep,
    Flow,
    LinkStep,
    SetSlotsStep,
    Step,
)
from core.assistant.lines import Lines
from core.assistant.repair import DEFAULT_ACTION_NAMES, defaults
from core.assistant.spoken import misfit, odd_responses
from core.errors import Problem
from core.near import near

_LINKABLE_PATTERNS = ("pattern_human_handoff", "pattern_chitchat", "pattern_customer_satisfaction", "pattern_search")


def validate(flows: Mapping[str, Flow], domain: Domain, agents: Collection[str] = ()) -> list[Problem]:
    """All problems of a project's flows and domain taken together; `agents` are the names in its sub_agents/."""
    given = defaults()
    return list(
        _Validator(
            flows,
            {**given.flows, **flows},
            {**given.slots, **domain.slots},
            {*given.responses, *domain.responses},
            set(domain.actions),
            agents,
        ).run(domain)
    )


class _Validator:
    def __init__(
        self,
        own: Mapping[str, Flow],
        flows: Mapping[str, Flow],
        slots: Mapping[str, Slot],
        responses: Collection[str],
        actions: Collection[str],
        agents: Collection[str],
    ) -> None:
        self.own, self.flows, self.slots, self.responses, self.actions = own, flows, slots, responses, actions
        self.agents = agents
        self.problems: list[Problem] = []
        self.call_problems: dict[str, str | None] = {}

    def error(self, lines: Lines, message: str) -> None:
        self.problems.append(Problem(lines.file, lines.first, message))

    def warn(self, lines: Lines, message: str) -> None:
        self.problems.append(Problem(lines.file, lines.first, message, "warning"))

    def near(self, name: str, known: Iterable[str]) -> str:
        return near(name, known, self.problems)

    def run(self, domain: Domain) -> Iterable[Problem]:
        for flow in self.own.values():
            self._flow(flow)
        for slot in domain.slots.values():
            for rejection in slot.rejections:
                self._predicate(rejection.condition, slot.lines)
                self._response(rejection.utter, slot.lines)
            if slot.refill_utter:
                self._response(slot.refill_utter, slot.lines)
        for response in domain.responses.values():
            for variation in response.variations:
                if variation.condition is not None:
                    self._predicate(variation.condition, response.lines)
        self.problems += odd_responses(self.own.values(), domain.responses.values(), self.slots)
        self._endless()
        self._unique_texts()
        return self.problems

    def _flow(self, flow: Flow) -> None:
        if not flow.description and not flow.is_pattern:
            self.warn(flow.lines, f"flow {flow.id} has no description; the model cannot know what it is for")
        if flow.guard is not None:
            self._predicate(flow.guard, flow.lines)
        ids = {step.id for step in flow.steps}
        set_here = {step.slot for step in flow.collects()}
        for step in flow.steps:
            if isinstance(step, SetSlotsStep):
                set_here.update(name for name, _ in step.slots)
        if flow.persisted_slots and not all(step.reset_after_flow_ends for step in flow.collects()):
            self.warn(flow.lines, f"flow {flow.id} has persisted_slots; reset_after_flow_ends is to be left out then")
        for slot in flow.persisted_slots:
            if self._slot(slot, flow.lines) and slot not in set_here:
                self.warn(flow.lines, f"flow {flow.id} persists {slot}, which none of its own steps sets")
        for step in flow.steps:
            self._step(flow, step, ids)
        self._reachable(flow)

    def _step(self, flow: Flow, step: Step, ids: Collection[str]) -> None:
        for branch in step.next:
            if branch.target != END and branch.target not in ids:
                self.error(
                    step.lines,
                    f"step {step.id} goes on to {branch.target}, which is no step of flow {flow.id}{self.near(branch.target, {*ids, END})}",
                )
            if branch.condition is not None:
                self._predicate(branch.condition, step.lines)
        if isinstance(step, ActionStep):
            self._action(step)
        elif isinstance(step, CollectStep):
            self._collect(step)
        elif isinstance(step, SetSlotsStep):
            for name, value in step.slots:
                if self._slot(name, step.lines) and value is not None and self.slots[name].type == "list":
                    self.error(step.lines, f"set_slots {name}: a list slot is filled by custom actions only")
                elif name in self.slots and value is not None and (wrong := misfit(self.slots[name], str(value))):
                    self.warn(step.lines, f"set_slots {name}: {value}: {wrong}")
        elif isinstance(step, LinkStep):
            if step.flow not in self.flows:
                self.error(step.lines, f"link to {step.flow}, which is no flow{self.near(step.flow, self.flows)}")
            elif flow.id == "pattern_internal_error":
                self.error(step.lines, f"link to {step.flow}: pattern_internal_error must not link to another flow")
            elif self.flows[step.flow].is_pattern and step.flow not in _LINKABLE_PATTERNS:
                self.warn(
                    step.lines, f"link to {step.flow}; flows usually link to {' or '.join(_LINKABLE_PATTERNS[:2])} only"
                )
        elif isinstance(step, CallStep):
            self._call(flow, step)

    def _action(self, step: ActionStep) -> None:
        name = step.action
        if "{{" in name or name in self.actions or name in self.responses or name in DEFAULT_ACTION_NAMES:
            return
        if name.startswith("utter_"):
            self._response(name, step.lines)
        else:
            self.warn(
                step.lines, f"action {name} is not listed under `actions` in the domain{self.near(name, self.actions)}"
            )

    def _response(self, name: str, lines: Lines) -> None:
        if name not in self.responses and name not in self.actions:
            self.error(lines, f"response {name} is not in the domain{self.near(name, self.responses)}")

    def _collect(self, step: CollectStep) -> None:
        if not self._slot(step.slot, step.lines):
            return
        if self.slots[step.slot].type == "list":
            self.error(
                step.lines, f"collect {step.slot}: a list slot cannot be asked for; fill it from a custom action"
            )
        for rejection in step.rejections:
            self._predicate(rejection.condition, step.lines)
            self._response(rejection.utter, step.lines)
        asks = step.utter in self.responses or step.utter in self.actions
        if step.ask_action in self.actions and asks and step.utter == f"utter_ask_{step.slot}":
            self.error(
                step.lines, f"collect {step.slot}: both {step.utter} and {step.ask_action} would ask; keep one of them"
            )
        elif step.ask_action not in self.actions and not asks:
            self.error(
                step.lines,
                f"collect {step.slot}: neither response {step.utter} nor action {step.ask_action} is in the domain",
            )

    def _call(self, flow: Flow, step: CallStep) -> None:
        if step.outside:
            return
        if step.flow in self.agents and step.flow not in self.flows:
            self.error(
                step.lines,
                f"call of {step.flow}, which is an agent (sub_agents/{step.flow}); agents are not supported, a call names a flow",
            )
        elif step.flow not in self.flows:
            self.error(step.lines, f"call of {step.flow}, which is no flow{self.near(step.flow, self.flows)}")
        elif flow.is_pattern:
            self.error(step.lines, f"pattern {flow.id} calls {step.flow}; patterns may link to flows, not call them")
        elif any(isinstance(other, LinkStep) for other in self.flows[step.flow].steps):
            self.error(step.lines, f"call of {step.flow}, which links to another flow; a called flow must come back")
        elif (problem := self._call_problem(step.flow)) is not None:
            self.error(step.lines, f"call of {step.flow}, {problem}")

    def _call_problem(self, called: str) -> str | None:
        if called not in self.call_problems:
            self.call_problems[called] = call_problem(called, self.flows)
        return self.call_problems[called]

    def _endless(self) -> None:
        for flow, step in endless_steps(self.flows):
            if flow.id in self.own:
                linked = f"links to {step.flow}" if isinstance(step, LinkStep) else f"goes on from step {step.id}"
                self.error(
                    step.lines, f"flow {flow.id} {linked} and never ends or asks anything; it would run in circles"
                )

    def _slot(self, name: str, lines: Lines) -> bool:
        if name in self.slots:
            return True
        self.error(lines, f"slot {name} is not in the domain{self.near(name, self.slots)}")
        return False

    def _value(self, slot: Slot, value: Any, condition: Predicate, lines: Lines) -> None:
        """Warn of a constant that a bool or categorical slot never equals."""
        where = f"{value!r} in the condition {condition.source!r}"
        if value in (None, UNDEFINED, EMPTY):
            return
        if slot.type == "bool" and not isinstance(value, bool):
            self.warn(lines, f"{where}: slot {slot.name} is true or false")
        elif slot.type == "categorical" and value not in slot.values:
            allowed = [str(known) for known in slot.values]
            self.warn(
                lines, f"{where}: slot {slot.name} is one of {', '.join(allowed)}{self.near(str(value), allowed)}"
            )

    def _predicate(self, condition: Predicate, lines: Lines) -> None:
        try:
            names, comparisons, mixed = condition.names, condition.comparisons, condition.mixes_and_or
        except ConditionError:
            return  # reported where it was read
        for name in names:
            space, _, rest = name.partition(".")
            if space == "slots" and rest:
                base = rest.split(".")[0]
                if base not in self.slots and rest not in self.slots:
                    self.error(
                        lines,
                        f"slot {base} in the condition {condition.source!r} is not in the domain{self.near(base, self.slots)}",
                    )
            elif space != "context":
                self.warn(
                    lines,
                    f"{name} in the condition {condition.source!r} is neither slots.… nor context.…; put text in quotes",
                )
        for name, constant in comparisons:
            slot = self.slots.get(name.removeprefix("slots."))
            if slot is not None and name.startswith("slots."):
                self._value(slot, constant, condition, lines)
        if mixed:
            self.warn(
                lines,
                f"the condition {condition.source!r} mixes and/or, which is read from right to left; add brackets",
            )

    def _reachable(self, flow: Flow) -> None:
        seen: set[str] = set()
        queue = [flow.first]
        by_id = {step.id: step for step in flow.steps}
        while queue:
            step = by_id.get(queue.pop())
            if step is not None and step.id not in seen:
                seen.add(step.id)
                queue.extend(branch.target for branch in step.next)
        for step in flow.steps:
            if step.id not in seen:
                self.warn(step.lines, f"step {step.id} of flow {flow.id} is never reached")

    def _unique_texts(self) -> None:
        """Names tell flows apart where the bot offers them, descriptions where the model chooses."""
        for what, whom in (("name", "users"), ("description", "the model")):
            seen: dict[str, Flow] = {}
            for flow in (flow for flow in self.own.values() if not flow.is_pattern):
                key = "".join(character for character in getattr(flow, what).casefold() if character.isalnum())
                if key and key in seen:
                    self.warn(
                        flow.lines, f"flow {flow.id} has the same {what} as {seen[key].id}; {whom} cannot tell them apart"
                    )
                seen.setdefault(key, flow)
