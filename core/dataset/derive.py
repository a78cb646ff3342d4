"""Conversations made out of passing tests: played by the engine, so that only what really works is taught.

A derived conversation keeps the id of its test and thereby its side of the split.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

from core.assistant.settings import Dialect
from core.dataset.annotate import annotate
from core.dataset.conversation import AnnotatedConversation
from core.dialogue.actions import Actions
from core.dialogue.commands import Command
from core.dialogue.engine import Engine
from core.dialogue.prompt import PromptRenderer
from core.e2e.cases import TestCase
from core.e2e.recording import RecordedCommands
from core.e2e.runner import run_tests

TAUGHT_ALREADY = "taught by the test it is made from"


@dataclass(frozen=True)
class Derivation:
    """A conversation to be played."""

    case: TestCase
    """With the id of the test it is made from."""
    commands: tuple[tuple[Command, ...] | None, ...]
    """Of each turn; None where no model is asked."""
    kind: str
    """other values, cancelled, corrected, off topic, unclear."""

    @property
    def only_last(self) -> bool:
        """True when the turns before the last are those of the test."""
        return self.kind != OTHER_VALUES


OTHER_VALUES = "other values"


async def derive(
    derivations: Sequence[Derivation],
    engine: Engine,
    actions: Actions | None,
    renderer: PromptRenderer,
    dialect: Dialect,
) -> list[AnnotatedConversation]:
    """Play them and annotate those that pass and in which every command counts."""
    sources = {id(one.case): RecordedCommands(one.case, one.commands) for one in derivations}
    results = await run_tests(
        engine,
        [one.case for one in derivations],
        lambda case: sources[id(case)],
        actions=actions,
        require_actions=False,
    )
    made: list[AnnotatedConversation] = []
    for one, result in zip(derivations, results, strict=True):
        last = result.turns[-1] if result.turns else None
        if not result.passed or last is None or len(result.turns) != len(one.case.turns):
            continue
        if one.only_last and {type(command) for command in last.commands} != {type(c) for c in one.commands[-1] or ()}:
            continue
        annotated = await asyncio.to_thread(annotate, result, engine, renderer, dialect)
        conversation = replace(annotated, derived=one.kind)
        made.append(_only_last(conversation) if one.only_last else conversation)
    return made


def _only_last(conversation: AnnotatedConversation) -> AnnotatedConversation:
    earlier = (
        replace(turn, commands=(), lines=(), prompt="", skipped=TAUGHT_ALREADY) for turn in conversation.turns[:-1]
    )
    return replace(conversation, turns=(*earlier, conversation.turns[-1]))
