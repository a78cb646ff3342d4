"""What inference looks up about an assistant again and again, computed once: who can say what, what slots are about."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from core.assistant.conditions import ConditionError, Predicate
from core.assistant.flows import ActionStep, CollectStep, Flow, LinkStep
from core.assistant.reach import reached_from
from core.dataset.candidates import Question
from core.dataset.language import stems
from core.dialogue.flow_index import FlowIndex
from core.dialogue.values import coerce

_PLACEHOLDER = re.compile(r"\{([^\n{}]+?)\}")
_JINJA = re.compile(r"\{\{.*?\}\}|\{%-?\s*(?P<word>\w+).*?%\}|\{#.*?#\}", re.S)


@dataclass(frozen=True)
class Template:
    """A response text with slots in it."""

    response: str
    literal: str
    """Its longest part without slots, to look for before the pattern is tried."""
    pattern: re.Pattern[str]
    slots: tuple[str, ...]
    """The slot of each group of the pattern."""


class Knowledge:
    """Facts about one assistant with its patterns."""

    def __init__(self, index: FlowIndex) -> None:
        self.index = index
        self.assistant = index.assistant
        self.reached = {flow.id: reached_from(flow.id, self.assistant.flows) for flow in self.assistant.business_flows}
        """Business flow → flows it comes to by calls and links, itself included."""
        self.startable = tuple(flow.id for flow in self.assistant.business_flows if not flow.never_startable)
        """Business flows that users may start, where their guard holds."""
        self.said_by = self._sayers()
        """Response or action → business flows that can say or run it, themselves or through flows they reach."""
        self.acting = self._acting()
        """Business flows that may run a custom action, which may say anything."""
        self.asks: dict[str, set[str]] = defaultdict(set)
        """Response → slots it asks for."""
        self.refuses: dict[str, set[str]] = defaultdict(set)
        """Response → slots of which it refuses a value."""
        self.questions = self._questions()
        """Slot → what is known of it."""
        self.validated = frozenset(name for name in index.slots if f"validate_{name}" in self.assistant.domain.actions)
        """Slots that a custom action may refuse."""
        self.says_anything = False
        """True when a response consists of slots alone."""
        self._constant_texts: dict[str, list[str]] = defaultdict(list)
        self._templates = list(self._read_templates())
        self._flows_of_stem, self._weights = self._vocabulary()
        self.asked_anew = frozenset(
            step.slot for flow in self.assistant.flows.values() for step in flow.collects() if step.ask_before_filling
        )
        """Slots that are emptied before they are asked for, so that volunteering them is of no use."""

    def _sayers(self) -> Mapping[str, frozenset[str]]:
        own = {flow.id: frozenset(_said(flow)) for flow in self.assistant.flows.values()}
        sayers: dict[str, set[str]] = defaultdict(set)
        for flow, reached in self.reached.items():
            for name in frozenset().union(*(own[id] for id in reached)):
                sayers[name].add(flow)
        return {name: frozenset(flows) for name, flows in sayers.items()}

    def _acting(self) -> frozenset[str]:
        custom = set(self.assistant.domain.actions)
        return frozenset(flow for action in sorted(custom) for flow in self.said_by.get(action, ()))

    def _questions(self) -> Mapping[str, Question]:
        about: dict[str, dict[str, None]] = defaultdict(dict)
        constants: dict[str, dict[Any, None]] = defaultdict(dict)
        for flow in self.assistant.flows.values():
            for step in flow.steps:
                conditions = [branch.condition for branch in step.next]
                if isinstance(step, CollectStep):
                    about[step.slot][step.description] = None
                    self.asks[step.utter].add(step.slot)
                    self.asks[step.ask_action].add(step.slot)
                    for rejection in step.rejections:
                        self.refuses[rejection.utter].add(step.slot)
                        conditions.append(rejection.condition)
                for condition in conditions:
                    for name, value in _constants(condition):
                        constants[name][value] = None
        for slot in self.index.slots.values():
            for rejection in slot.rejections:
                self.refuses[rejection.utter].add(slot.name)
        return {
            slot.name: Question(slot, " ".join(filter(None, about[slot.name])), tuple(constants[slot.name]))
            for slot in self.index.slots.values()
        }

    def inventions(self, name: str) -> Iterable[Any]:
        """Values that nobody said, one for each way conditions may go."""
        question = self.questions[name]
        if question.slot.type == "float":
            bounds = [value for value in question.constants if isinstance(value, float)]
            return sorted({bound + step for bound in bounds for step in (-1.0, 0.0, 1.0)}) or [1.0]
        if question.slot.type == "bool":
            return [True, False]
        return question.slot.values or [*question.constants, "something"]

    def rough(self, name: str, value: Any, named: Sequence[Any]) -> Any:
        """A value as far as conditions and a test's checks (`named`) tell it from others."""
        question = self.questions.get(name)
        if question is None or value is None or value in question.constants or value in named:
            return value
        if isinstance(value, float):
            return [value > bound for bound in question.constants if isinstance(bound, float)]
        return ... if isinstance(value, str) and question.slot.type in ("text", "any") else value

    # Texts of the bot

    def _read_templates(self) -> Iterable[Template]:
        for response in self.assistant.domain.responses.values():
            for variation in response.variations:
                text = _levelled(variation.text or "")
                literals, slots = _PLACEHOLDER.split(text)[::2], _PLACEHOLDER.findall(text)
                if variation.is_jinja:
                    literals, slots = _always_said(text), []
                if len(literals) == 1:
                    self._constant_texts[text].append(response.name)
                elif not any(part.strip() for part in literals):
                    self.says_anything = True
                else:
                    pattern = ("(.*?)" if slots else ".*?").join(map(re.escape, literals))
                    yield Template(response.name, max(literals, key=len), re.compile(pattern, re.S), tuple(slots))

    @lru_cache(maxsize=4096)  # noqa: B019 one object an assistant, alive as long as the program
    def sources(self, text: str) -> tuple[tuple[str, tuple[tuple[str, Any], ...]], ...]:
        """(response, slot values) that make the bot say a text word for word."""
        text = _levelled(text)
        found: list[tuple[str, tuple[tuple[str, Any], ...]]] = [
            (name, ()) for name in self._constant_texts.get(text, ())
        ]
        for template in self._templates:
            if template.literal in text and (match := template.pattern.fullmatch(text)):
                pairs = zip(template.slots, match.groups(), strict=True)
                slots = self.index.slots
                found.append(
                    (template.response, tuple((n, coerce(slots[n], v)) for n, v in pairs if n in slots and v != "None"))
                )
        return tuple(found)

    def flows_named(self, text: str) -> list[str]:
        """Business flows whose readable names stand in a text, in its order; a name inside a longer one does not count."""
        folded, found = text.casefold(), dict[int, str]()
        for flow in sorted(self.assistant.business_flows, key=lambda flow: -len(flow.name)):
            at = folded.find(flow.name.casefold())
            if at >= 0:
                found[at] = flow.id
                folded = folded.replace(flow.name.casefold(), "\0" * len(flow.name))
        return [found[at] for at in sorted(found)]

    # Words of flows

    def _vocabulary(self) -> tuple[Mapping[str, tuple[str, ...]], Mapping[str, float]]:
        flows_of: dict[str, dict[str, None]] = defaultdict(dict)
        for id in self.startable:
            for stem in self._stems(self.assistant.flows[id]):
                flows_of[stem][id] = None
        total = len(self.startable)
        weights = {stem: math.log(1 + total / len(flows)) for stem, flows in flows_of.items()}
        return {stem: tuple(flows) for stem, flows in flows_of.items()}, weights

    def is_named_by(self, text: str, flows: Iterable[str]) -> bool:
        """True when a text consists of words of flows alone, so that it names them rather than a value."""
        return bool(said := stems(text)) and all(
            not {*flows}.isdisjoint(self._flows_of_stem.get(one, ())) for one in said
        )

    def _stems(self, flow: Flow) -> frozenset[str]:
        found = stems(f"{flow.id} {flow.name} {flow.description}")
        values = (str(v) for step in flow.collects() for v in self._values_of(step.slot))
        return found.union(*(stems(value) for value in values))

    def _values_of(self, slot: str) -> tuple[Any, ...]:
        known = self.index.slots.get(slot)
        return known.values if known is not None else ()

    @lru_cache(maxsize=256)  # noqa: B019 as above; each word of a message is looked up for each pair of flows
    def likeness(self, message: str) -> Mapping[str, float]:
        """Flow → 0 to 1, the share of a message's telling words that it has too; flows without any are left out."""
        said = [
            (self._weights[stem], self._flows_of_stem[stem]) for stem in sorted(stems(message)) if stem in self._weights
        ]
        total = sum(weight for weight, _ in said) + 0.5 * sum(stem not in self._weights for stem in stems(message))
        shares: dict[str, float] = defaultdict(float)
        for weight, flows in said:
            for flow in flows:
                shares[flow] += weight / total
        return dict(shares)


@lru_cache(maxsize=4)
def knowledge(index: FlowIndex) -> Knowledge:
    """The facts about an assistant; the last few are kept."""
    return Knowledge(index)


def _levelled(text: str) -> str:
    """A text without blanks around it and at the ends of its lines, as checks compare it."""
    return "\n".join(map(str.rstrip, text.strip().splitlines()))


def _always_said(text: str) -> list[str]:
    """The parts of a Jinja text outside its tags, without those that a condition or a loop decides about."""
    parts, depth, at = [""], 0, 0
    for tag in _JINJA.finditer(text):
        if depth == 0:
            parts[-1] += text[at : tag.start()]
            parts.append("")
        word = tag["word"] or ""
        depth += (word in ("if", "for")) - (word in ("endif", "endfor"))
        at = tag.end()
    parts[-1] += text[at:]
    return parts


def _said(flow: Flow) -> Iterable[str]:
    for step in flow.steps:
        if isinstance(step, ActionStep):
            yield step.action
        elif isinstance(step, CollectStep):
            yield from (step.utter, step.ask_action, *(rejection.utter for rejection in step.rejections))
        elif isinstance(step, LinkStep):
            yield step.flow


def _constants(condition: Predicate | None) -> Iterable[tuple[str, Any]]:
    try:
        comparisons = condition.comparisons if condition is not None else ()
    except ConditionError:
        return
    for name, value in comparisons:
        if name.startswith("slots.") and isinstance(value, (str, float)):
            yield name.removeprefix("slots."), value
