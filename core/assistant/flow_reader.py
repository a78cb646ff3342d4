"""Reading flow files: from nested YAML to `Flow` values with lifted steps and resolved `next`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from core.assistant import templates
from core.assistant.conditions import ConditionError, Predicate
from core.assistant.flows import (
    END,
    ActionStep,
    Branch,
    CallStep,
    CollectStep,
    Flow,
    LinkStep,
    NluTrigger,
    NoopStep,
    Rejection,
    SetSlotsStep,
    Step,
)
from core.assistant.lines import Lines
from core.assistant.source import Reader, YamlList, YamlMapping
from core.near import near

FLOW_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*\Z")
_FLOW_KEYS = (
    "name",
    "description",
    "if",
    "always_include_in_prompt",
    "run_pattern_completed",
    "nlu_trigger",
    "persisted_slots",
    "steps",
    "file_path",
)
_KINDS = ("action", "collect", "set_slots", "link", "call", "noop")
_STEP_KEYS = {
    "action": (),
    "collect": (
        "description",
        "ask_before_filling",
        "utter",
        "rejections",
        "reset_after_flow_ends",
        "force_slot_filling",
        "silence_timeout",
        "dtmf",
    ),
    "set_slots": (),
    "link": (),
    "call": ("mcp_server", "mapping", "exit_if"),
    "noop": (),
}
_LONGEST_ID = 60


def read_flows(content: Any, reader: Reader) -> list[Flow]:
    """The flows of one parsed file. Problems go to the reader; a flow with an error is left out."""
    flows = content.get("flows") if isinstance(content, YamlMapping) else None
    if flows is None:
        return []
    if not isinstance(flows, YamlMapping):
        reader.error(content.line_of("flows"), "flows must be a mapping from flow ids to flows")
        return []
    found = []
    for id, body in flows.items():
        line = flows.line_of(id)
        if not FLOW_ID.match(id):
            reader.error(line, f"flow id {id!r} may hold letters, digits, _ and - only, and must not begin with -")
        elif not isinstance(body, YamlMapping):
            reader.error(line, f"flow {id} must be a mapping with description and steps")
        else:
            found.append(_FlowReader(id, body, Lines(reader.file, line, body.lines.last), reader).read())
    return found


def predicate(value: Any, line: int, reader: Reader) -> Predicate:
    """A condition; an unreadable one is reported and kept (it counts as false)."""
    if isinstance(value, (dict, list)) or value is None:
        reader.error(line, "a condition must be text, such as: slots.amount > 50")
        return Predicate("false")
    source = str(value).lower() if isinstance(value, bool) else str(value)
    condition = Predicate(source, (reader.file, line))
    try:
        condition.check()
    except ConditionError as error:
        reader.error(line, f"the condition {source[:200]!r} cannot be read: {error}")
    return condition


def check_template(text: str, line: int, reader: Reader) -> None:
    """Report a Jinja text that cannot be read, or runs away whatever is known."""
    if "{" in text:
        try:
            templates.check(text)
        except templates.TemplateProblem as problem:
            reader.error(line, f"the template {text[:200]!r} cannot be used: {problem}")


def rejections(mapping: YamlMapping, reader: Reader) -> tuple[Rejection, ...]:
    """`rejections: [{if, utter}]` of a collect step or of a slot's validation."""
    found = []
    for item, line in reader.items(mapping, "rejections"):
        if not isinstance(item, YamlMapping) or "if" not in item or "utter" not in item:
            reader.error(line, "a rejection needs `if` and `utter`")
            continue
        found.append(Rejection(predicate(item["if"], item.line_of("if"), reader), reader.text(item, "utter")))
    return tuple(found)


class _FlowReader:
    def __init__(self, id: str, body: YamlMapping, lines: Lines, reader: Reader) -> None:
        self.id, self.body, self.lines, self.reader = id, body, lines, reader
        self.steps: list[Step | None] = []
        self.ids: dict[str, int] = {}

    def read(self) -> Flow:
        body, reader = self.body, self.reader
        reader.known_keys(body, _FLOW_KEYS, f"flow {self.id}")
        steps = body.get("steps")
        if not isinstance(steps, YamlList) or not steps:
            reader.error(body.line_of("steps"), f"flow {self.id} has no steps; give it a list of at least one step")
        else:
            self._sequence(steps, outer=None)
        guard = predicate(body["if"], body.line_of("if"), reader) if "if" in body else None
        return Flow(
            id=self.id,
            lines=self.lines,
            steps=tuple(step for step in self.steps if step is not None),
            name=reader.text(body, "name") or self.id.replace("_", " ").replace("-", " "),
            description=reader.text(body, "description").strip(),
            guard=guard,
            always_include_in_prompt=reader.flag(body, "always_include_in_prompt", False),
            run_pattern_completed=reader.flag(body, "run_pattern_completed", True),
            nlu_triggers=tuple(self._triggers()),
            persisted_slots=tuple(str(slot) for slot, _ in reader.items(body, "persisted_slots")),
            never_startable=guard is not None and guard.is_never,
        )

    def _triggers(self) -> Iterable[NluTrigger]:
        for item, line in self.reader.items(self.body, "nlu_trigger"):
            intent = item.get("intent") if isinstance(item, YamlMapping) else item
            if isinstance(intent, YamlMapping):
                threshold = self.reader.number(intent, "confidence_threshold") or 0.0
                yield NluTrigger(self.reader.text(intent, "name"), threshold)
            elif isinstance(intent, str):
                yield NluTrigger(intent)
            else:
                self.reader.error(line, "an nlu_trigger names an intent: `- intent: name`")

    # Steps

    def _sequence(self, steps: YamlList, outer: str | None) -> str:
        """Lift a list of steps; returns the id of its first. `outer` names the step that holds a nested list."""
        places: list[tuple[int, str, str, YamlMapping, tuple[Branch, ...] | None]] = []
        for item, lines in zip(steps, steps.item_lines, strict=True):
            kind = self._kind(item, lines.first)
            if kind is None:
                continue
            at = len(self.steps)
            self.steps.append(None)
            id = self._step_id(item, kind, at, lines.first)
            # Reading the branches now puts the steps inside right after the step that holds them.
            places.append((at, id, kind, item, self._branches(item, id)))
        for position, (at, id, kind, item, branches) in enumerate(places):
            last = position + 1 == len(places)
            if branches is None and last and outer is not None and kind != "link":
                self.reader.warn(item.lines.first, f"step {id} ends a nested list without `next`; the flow ends there")
            following = END if last or kind == "link" else places[position + 1][1]
            onward = branches if branches is not None else (Branch(following),)
            self.steps[at] = self._step(kind, item, id, onward)
        return places[0][1] if places else END

    def _kind(self, item: Any, line: int) -> str | None:
        if not isinstance(item, YamlMapping):
            self.reader.error(line, f"a step of flow {self.id} must be a mapping such as `- action: utter_hello`")
            return None
        present = [kind for kind in _KINDS if kind in item]
        if len(present) == 1:
            self.reader.known_keys(
                item, ("id", "next", "metadata", present[0], *_STEP_KEYS[present[0]]), f"a {present[0]} step"
            )
            return present[0]
        if not present and "next" in item:
            return "noop"
        what = f"is both {' and '.join(present)}" if present else f"has none of {', '.join(_KINDS)}"
        hints = () if present else (near(str(key), _KINDS) for key in item)
        hint = next(filter(None, hints), "; a step is exactly one of them")
        self.reader.error(line, f"a step of flow {self.id} {what}{hint}")
        return None

    def _step_id(self, item: YamlMapping, kind: str, at: int, line: int) -> str:
        written = item.get("id")
        subject = item.get(kind)
        id = (
            str(written)
            if written is not None
            else f"{at}_{kind}" + (f"_{subject}"[:_LONGEST_ID] if isinstance(subject, str) else "")
        )
        if id == END:
            self.reader.error(line, f"{END} cannot be the id of a step")
        if id in self.ids:
            self.reader.error(line, f"step id {id} is used twice in flow {self.id} (first in line {self.ids[id]})")
        self.ids[id] = line
        return id

    def _branches(self, item: YamlMapping, id: str) -> tuple[Branch, ...] | None:
        """Where a step goes on; None for "the following step"."""
        if "next" not in item or item["next"] is None:
            return None
        target, line = item["next"], item.line_of("next")
        if not isinstance(target, YamlList):
            return (Branch(self._target(target, line, id)),)
        if not any(isinstance(branch, YamlMapping) and ("if" in branch or "else" in branch) for branch in target):
            return (Branch(self._sequence(target, outer=id)),)
        found: list[Branch] = []
        for branch, lines in zip(target, target.item_lines, strict=True):
            if not isinstance(branch, YamlMapping) or not ("if" in branch or "else" in branch):
                self.reader.error(lines.first, "a branch is `if:` with `then:`, or `else:`")
                continue
            if found and found[-1].condition is None:
                self.reader.error(lines.first, "nothing is reached after `else`; put it last")
            found.append(self._branch(branch, lines.first, id))
        if found and found[-1].condition is not None:
            self.reader.warn(line, f"step {id} has no `else`; the flow ends when no condition holds")
        return tuple(found)

    def _branch(self, branch: YamlMapping, line: int, id: str) -> Branch:
        for key in branch:
            if key not in ("if", "then", "else"):
                self.reader.warn(branch.line_of(key), f"{key} beside `then` or `else` has no effect")
        if "if" in branch and "else" in branch:
            self.reader.error(branch.line_of("else"), "`else` must be an item of its own after the one with `if`")
        if "else" in branch:
            return Branch(self._target(branch["else"], branch.line_of("else"), id))
        if "then" not in branch:
            self.reader.error(line, "`if` needs a `then`: a step id, END or a list of steps")
            return Branch(END, predicate(branch["if"], branch.line_of("if"), self.reader))
        condition = predicate(branch["if"], branch.line_of("if"), self.reader)
        return Branch(self._target(branch["then"], branch.line_of("then"), id), condition)

    def _target(self, target: Any, line: int, id: str) -> str:
        if isinstance(target, YamlList):
            return self._sequence(target, outer=id)
        if isinstance(target, (str, int)) and not isinstance(target, bool):
            return str(target)
        self.reader.error(line, "the way on must be a step id, END or a list of steps")
        return END

    def _step(self, kind: str, item: YamlMapping, id: str, branches: tuple[Branch, ...]) -> Step | None:
        reader, line = self.reader, item.line_of(kind)
        common: dict[str, Any] = {"id": id, "lines": item.lines, "next": branches, "named": "id" in item}
        named = kind in ("action", "collect", "link", "call")
        subject = reader.text(item, kind).strip() if named else ""
        if named and not subject:
            reader.error(line, f"{kind} needs a name")
            return None
        if kind == "action":
            check_template(subject, line, reader)
            return ActionStep(action=subject, **common)
        if kind == "collect":
            return self._collect(item, subject, common)
        if kind == "set_slots":
            return SetSlotsStep(slots=tuple(self._slot_values(item)), **common)
        if kind == "link":
            if "next" in item:
                reader.error(item.line_of("next"), "a link ends the flow; it cannot have `next`")
            return LinkStep(flow=subject, **common)
        if kind == "call":
            is_tool = "mcp_server" in item or "mapping" in item
            if is_tool or "exit_if" in item:
                what = "a tool of an MCP server" if is_tool else "an agent"
                reader.error(line, f"call of {subject}, which is {what}; that is not supported, a call names a flow")
                common["outside"] = True
            return CallStep(flow=subject, **common)
        if "next" not in item:
            reader.error(line, f"noop step {id} needs `next`")
        return NoopStep(**common)

    def _collect(self, item: YamlMapping, slot: str, common: dict[str, Any]) -> CollectStep:
        return CollectStep(
            slot=slot,
            description=self.reader.text(item, "description").strip(),
            ask_before_filling=self.reader.flag(item, "ask_before_filling", False),
            utter=self.reader.text(item, "utter") or f"utter_ask_{slot}",
            rejections=rejections(item, self.reader),
            force_slot_filling=self.reader.flag(item, "force_slot_filling", False),
            reset_after_flow_ends=self.reader.flag(item, "reset_after_flow_ends", True),
            **common,
        )

    def _slot_values(self, item: YamlMapping) -> Iterable[tuple[str, object]]:
        pairs = item["set_slots"]
        for pair in [pairs] if isinstance(pairs, YamlMapping) else pairs if isinstance(pairs, YamlList) else []:
            if isinstance(pair, YamlMapping):
                yield from pair.items()
            else:
                self.reader.error(item.line_of("set_slots"), "set_slots is a list of `slot: value`")
        if not isinstance(pairs, (YamlMapping, YamlList)):
            self.reader.error(item.line_of("set_slots"), "set_slots is a list of `slot: value`")
