"""What the checks of a test say about its turns, before anything is played."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from core.dataset.knowledge import Knowledge
from core.dialogue.values import acceptable
from core.e2e.cases import ANY, TestCase, Turn

_OPTIONS = "utter_clarification_options_rasa"


@dataclass(frozen=True)
class Expectations:
    """Of one turn."""

    started: frozenset[str] = frozenset()
    """Flows that are to start."""
    clarified: tuple[str, ...] = ()
    """Flows to be offered."""
    utterances: frozenset[str] = frozenset()
    """Responses to be said."""
    set_now: frozenset[str] = frozenset()
    """Slots that are to be set in this turn."""
    kept: frozenset[str] = frozenset()
    """Slots that are not to be set in this turn, or are asked for at its end."""
    values: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    """Slot → values it is to have in this turn or a later one."""
    texts: tuple[str, ...] = ()
    """What the bot is to say from this turn on where no response of the domain says exactly that."""
    says_more: bool = False
    """True when this turn has such a text: a custom action may say it."""


def expectations(case: TestCase, known: Knowledge) -> list[Expectations]:
    """Expectations of every turn."""
    found: list[Expectations] = []
    later_values: dict[str, dict[Any, None]] = {}
    later_texts: tuple[str, ...] = ()
    for turn in reversed(case.turns):
        reader = _TurnReader(turn, known)
        later_values = {name: dict(values) for name, values in later_values.items()}
        for name, given in reader.values.items():
            # What a turn says of a slot stands before what later turns say of it.
            later_values[name] = {**dict.fromkeys(given), **later_values.get(name, {})}
        later_texts = tuple(dict.fromkeys((*reader.texts, *later_texts)))
        found.append(
            Expectations(
                started=frozenset(reader.started),
                clarified=tuple(reader.clarified),
                utterances=frozenset(reader.utterances),
                set_now=frozenset(reader.set_now),
                kept=frozenset(reader.kept - reader.set_now),
                values={name: tuple(values) for name, values in later_values.items()},
                texts=later_texts,
                says_more=bool(reader.texts),
            )
        )
    return found[::-1]


class _TurnReader:
    def __init__(self, turn: Turn, known: Knowledge) -> None:
        self.known = known
        self.started: set[str] = set()
        self.clarified: list[str] = []
        self.utterances: set[str] = set()
        self.set_now: set[str] = set()
        self.kept: set[str] = set()
        self.values: dict[str, list[Any]] = defaultdict(list)
        self.texts: list[str] = []
        self.mentioned: list[str] = []
        self.any_of: list[tuple[str, ...]] = []
        for check in turn.checks:
            self._read(check.kind, check.value)
        self._order_options()
        refusable = known.validated.union(*known.refuses.values())
        if turn.uses_assertions:
            self.kept -= refusable  # set and refused, a slot is empty too
        refused = {slot for name in self.utterances for slot in known.refuses.get(name, ())}
        rejected = any(name.endswith("_slot_rejection") for name in self.utterances)
        for name in self.utterances if not rejected else ():
            self.kept |= known.asks.get(name, set()) - refused - known.asked_anew
            self.kept -= refusable if self.texts else known.validated  # such a text may be the refusal

    def _read(self, kind: str, value: Any) -> None:
        if kind == "flow_started":
            self.started |= set(value[1])
        elif kind == "pattern_clarification_contains":
            if value[0] == "any":
                self.any_of.append(value[1])
            else:
                self.clarified += [flow for flow in value[1] if flow not in self.clarified]
        elif kind == "slot_was_set":
            self._slot(*value)
        elif kind == "slot_was_not_set" and value[1] is ANY:
            self.kept.add(value[0])
        elif kind in ("utter", "action_executed"):
            self.utterances.add(value)
        elif kind == "bot":
            self._text(value)
        elif kind == "bot_uttered":
            if name := value.get("utter_name"):
                self.utterances.add(str(name))
            if text := value.get("text_matches"):
                self._text(str(text))

    def _slot(self, name: str, value: Any) -> None:
        self.set_now.add(name)
        slot = self.known.index.slots.get(name)
        if value is not ANY and value is not None and slot is not None:
            self.values[name].append(str(value) if isinstance(value, (list, dict)) else value)

    def _text(self, text: str) -> None:
        sources = self.known.sources(text)
        if not sources:
            self.texts.append(text)
        for response, slots in sources:
            self.utterances.add(response)
            for name, value in slots:
                slot = self.known.index.slots[name]
                if slot.from_llm and acceptable(slot, value):
                    self.values[name].append(value)
        self.mentioned += self.known.flows_named(text)

    def _order_options(self) -> None:
        """Options that the bot's text names, in its order, then the others; of alternatives one is enough."""
        if self.clarified or self.any_of or _OPTIONS in self.utterances:
            self.clarified = list(dict.fromkeys((*self.mentioned, *self.clarified)))
        for flows in self.any_of:
            if not set(flows) & set(self.clarified):
                self.clarified.append(flows[0])
