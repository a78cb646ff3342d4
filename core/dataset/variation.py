"""The same conversations with other slot values: in the messages, in the commands and in what the test expects.

Values come from the other tests, so that they are of the kind this assistant is told. Only values that a message spells out are varied.
"""

from __future__ import annotations

import random
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any

from core.assistant.domain import Slot
from core.dataset.conversation import AnnotatedConversation, AnnotatedTurn
from core.dataset.derive import OTHER_VALUES, Derivation
from core.dataset.text import holds
from core.dialogue.commands import SetSlot

_VARIED_TYPES = ("text", "any", "float")
"""Other values of closed types lead elsewhere in the flow; those are for the owner's tests."""


def with_other_values(
    conversations: Sequence[AnnotatedConversation], slots: Mapping[str, Slot], count: int, seed: int
) -> list[Derivation]:
    """Up to `count` conversations for each one with a value that can be another. The same seed gives the same."""
    chance = random.Random(seed)
    known = _values(conversations, slots)
    made: list[Derivation] = []
    for conversation in conversations:
        own = {name: value for turn in conversation.turns for name, value in _spelled_out(turn, slots).items()}
        choices = {name: [value for value in known[name] if value not in own.values()] for name in own}
        for _ in range(count if own else 0):
            others = {own[name]: chance.choice(values) for name, values in choices.items() if values}
            for name, values in choices.items():
                choices[name] = [value for value in values if value != others.get(own[name])]
            if others:
                made.append(_with(conversation, others))
    return made


def in_other_words(derived: AnnotatedConversation, original: AnnotatedConversation) -> AnnotatedConversation:
    """A conversation with other values, with the wordings of the original: the values in them are changed too."""
    turns = []
    for mine, its in zip(derived.turns, original.turns, strict=True):
        old, new = _set(its), _set(mine)
        others = {str(old[name]): str(new[name]) for name in old.keys() & new.keys() if old[name] != new[name]}
        passing = tuple(_replaced(text, others) for text in its.passing) if mine.annotated else ()
        turns.append(replace(mine, passing=tuple(text for text in passing if not (others and text in its.passing))))
    return replace(derived, turns=tuple(turns))


def _with(conversation: AnnotatedConversation, others: Mapping[str, str]) -> Derivation:
    case = conversation.case
    commands = [
        None if turn.record.prediction is None else _replaced(turn.record.prediction.commands, others)
        for turn in conversation.turns
    ]
    turns = tuple(
        replace(turn, user=_replaced(turn.user, others), checks=_replaced(turn.checks, others)) for turn in case.turns
    )
    return Derivation(replace(case, turns=turns), tuple(commands), OTHER_VALUES)


def _values(conversations: Sequence[AnnotatedConversation], slots: Mapping[str, Slot]) -> dict[str, list[str]]:
    """All values of each slot that any message spells out, in the order they come."""
    known: dict[str, dict[str, None]] = defaultdict(dict)
    for conversation in conversations:
        for turn in conversation.turns:
            for name, value in _spelled_out(turn, slots).items():
                known[name][value] = None
    return {name: list(values) for name, values in known.items()}


def _spelled_out(turn: AnnotatedTurn, slots: Mapping[str, Slot]) -> dict[str, str]:
    return {
        name: str(value)
        for name, value in _set(turn).items()
        if name in slots and slots[name].type in _VARIED_TYPES and holds(turn.user, str(value))
    }


def _set(turn: AnnotatedTurn) -> dict[str, Any]:
    return {command.name: command.value for command in turn.commands if isinstance(command, SetSlot)}


def _replaced(value: Any, others: Mapping[str, str]) -> Any:
    """The value with other words and numbers in it, however deep; whole words only, all at once."""
    if isinstance(value, str):
        if not others:
            return value
        known = {old.casefold(): new for old, new in others.items()}
        any_of = "|".join(re.escape(old) for old in sorted(others, key=len, reverse=True))
        return re.sub(
            rf"(?<!\w)(?:{any_of})(?!\w)", lambda match: known[match[0].casefold()], value, flags=re.IGNORECASE
        )
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return next(
            (float(new) for old, new in others.items() if _number(old) == value and _number(new) is not None), value
        )
    if isinstance(value, Mapping):
        return {key: _replaced(inner, others) for key, inner in value.items()}
    if isinstance(value, (tuple, list, frozenset)):
        return type(value)(_replaced(inner, others) for inner in value)
    if is_dataclass(value) and not isinstance(value, type):
        inner = {
            field.name: getattr(value, field.name)
            for field in fields(value)
            if field.name not in ("line", "kind", "name")
        }
        return replace(value, **{name: _replaced(part, others) for name, part in inner.items()})
    return value


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
