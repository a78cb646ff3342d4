"""Hard cases on request: cancelling mid-flow, correcting a value, wandering off, and being unclear between two similar flows.

Each is a passing test up to some turn, and one message more. The messages are English and few; rephrasing multiplies them.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from importlib.resources import files
from itertools import combinations, cycle

import yaml

from core.assistant.domain import Slot
from core.assistant.flows import Flow
from core.assistant.settings import Dialect
from core.dataset.conversation import AnnotatedConversation
from core.dataset.derive import Derivation
from core.dataset.language import words
from core.dataset.text import holds, similarity
from core.dialogue.command_text import OFFERED
from core.dialogue.commands import CancelFlow, ChitChat, Clarify, Command, SearchAndReply, SetSlot
from core.e2e.cases import Turn

KINDS = ("cancelled", "corrected", "off topic", "unclear")


def hard_cases(
    conversations: Sequence[AnnotatedConversation],
    flows: Sequence[Flow],
    slots: Mapping[str, Slot],
    count: int,
    seed: int,
    dialect: Dialect = "v2",
) -> list[Derivation]:
    """Up to `count` of each kind, over as many tests as there are. The same seed gives the same."""
    chance = random.Random(seed)
    made: list[Derivation] = []
    places_of = (
        _cancelled(conversations),
        _corrected(conversations, slots),
        _off_topic(conversations, dialect),
        _unclear(conversations, flows),
    )
    for kind, found in zip(KINDS, places_of, strict=True):
        places = list(found)
        chance.shuffle(places)
        phrases = cycle(_phrases()[kind])
        for (conversation, at, command, blanks), phrase in zip(places[:count], phrases, strict=False):
            made.append(_after(conversation, at, phrase.format(**blanks), command, kind))
    return made


Place = tuple[AnnotatedConversation, int, Command, Mapping[str, str]]
"""A conversation, how many of its turns come first, the command, and the words of the message."""


def _cancelled(conversations: Sequence[AnnotatedConversation]) -> Iterator[Place]:
    """While a flow waits for an answer, which the next turn of the test gives."""
    for conversation in conversations:
        for at, turn in enumerate(conversation.turns):
            if at and turn.annotated and turn.only_answers:
                yield conversation, at, CancelFlow(), {}


def _corrected(conversations: Sequence[AnnotatedConversation], slots: Mapping[str, Slot]) -> Iterator[Place]:
    """After a value was given and while the flow goes on, with a value from another test."""
    given = [
        (conversation, at, command)
        for conversation in conversations
        for at, turn in enumerate(conversation.turns)
        for command in turn.commands
        if isinstance(command, SetSlot) and command.name in slots and holds(turn.user, command.value)
    ]
    for conversation, at, command in given:
        if at + 1 >= len(conversation.turns) or not conversation.turns[at + 1].only_answers:
            continue
        others = [other.value for _, _, other in given if other.name == command.name and other.value != command.value]
        if others:
            new = others[at % len(others)]
            yield conversation, at + 1, SetSlot(command.name, new), {"old": str(command.value), "new": str(new)}


def _off_topic(conversations: Sequence[AnnotatedConversation], dialect: Dialect) -> Iterator[Place]:
    """A form without small talk answers it as a question about facts."""
    command = ChitChat() if ChitChat in OFFERED[dialect] else SearchAndReply()
    for conversation in conversations:
        for at, turn in enumerate(conversation.turns):
            if turn.annotated:
                yield conversation, at, command, {}


def _unclear(conversations: Sequence[AnnotatedConversation], flows: Sequence[Flow]) -> Iterator[Place]:
    """At the beginning, with the words that the names of two flows have in common, most similar flows first."""
    pairs = sorted(
        combinations([flow for flow in flows if not flow.never_startable], 2),
        key=lambda pair: -similarity(pair[0].description, pair[1].description),
    )
    begun = cycle(conversation for conversation in conversations if conversation.turns)
    for (one, other), conversation in zip(pairs, begun, strict=False):
        common = [
            word
            for word in words(one.name or one.id.replace("_", " "))
            if word in words(other.name or other.id.replace("_", " "))
        ]
        if common:
            yield conversation, 0, Clarify((one.id, other.id)), {"what": " ".join(common)}


def _after(conversation: AnnotatedConversation, at: int, text: str, command: Command, kind: str) -> Derivation:
    case = conversation.case
    metadata = case.turns[0].metadata if case.turns else {}
    turns = (*case.turns[:at], Turn(text, case.line, metadata=metadata))
    before = tuple(
        None if turn.record.prediction is None else turn.record.prediction.commands for turn in conversation.turns[:at]
    )
    return Derivation(replace(case, turns=turns), (*before, (command,)), kind)


@cache
def _phrases() -> Mapping[str, Sequence[str]]:
    text = (files("core.dataset") / "templates" / "hard_cases.yml").read_text(encoding="utf-8")
    phrases: Mapping[str, Sequence[str]] = yaml.safe_load(text)
    return phrases
