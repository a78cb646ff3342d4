"""From passed tests to annotated conversations: what a model is shown at each turn, and what it should write.

Prompts are rendered here for every source alike, since inference and recordings show none; where a language model
gave the commands, the prompt comes out as the one it was shown. Commands are those that survived clean-up, since the
rest had no part in the test's passing, in the spelling of the source, since clean-up coerces ("3" becomes 3.0). Where
nothing survived because the source only repeated the present state, its own words stand: the user said something, and
the model should write it down.
"""

from __future__ import annotations

from collections.abc import Sequence

from core.assistant.settings import Dialect
from core.dataset.conversation import AnnotatedConversation, AnnotatedTurn, replay
from core.dialogue.command_text import render
from core.dialogue.commands import (
    CannotHandle,
    Command,
    InternalError,
    Restart,
    SessionStart,
    SetSlot,
    TriggerIntent,
)
from core.dialogue.engine import Engine
from core.dialogue.prompt import PromptRenderer
from core.dialogue.tracker import Tracker
from core.e2e.results import TestResult, TurnRecord

_INTERNAL = (CannotHandle, InternalError, Restart, SessionStart, TriggerIntent)
"""Commands no model writes."""


def annotate(result: TestResult, engine: Engine, renderer: PromptRenderer, dialect: Dialect) -> AnnotatedConversation:
    """Annotate one passed test. Raises ValueError for a failed one: it must never teach."""
    if not result.passed:
        raise ValueError(f"{result.case.id} did not pass")
    trackers = replay(engine.new_tracker(), result)
    turns = [
        _annotated(record, tracker, renderer, dialect) for record, tracker in zip(result.turns, trackers, strict=True)
    ]
    return AnnotatedConversation(result, tuple(turns))


def _annotated(record: TurnRecord, tracker: Tracker, renderer: PromptRenderer, dialect: Dialect) -> AnnotatedTurn:
    if record.prediction is None:
        return AnnotatedTurn(record, skipped="a button or intent payload, which no model is asked about")
    commands = taught(record.prediction.commands, record.commands)
    if not commands or any(isinstance(command, _INTERNAL) for command in commands):
        return AnnotatedTurn(record, skipped="understood as nothing that a model could write")
    lines = tuple(render(command, dialect) for command in commands)
    prompt = renderer.render(tracker, record.turn.user)
    return AnnotatedTurn(record, commands, lines, prompt)


def taught(raw: Sequence[Command], cleaned: Sequence[Command]) -> tuple[Command, ...]:
    """The commands to learn, from those the source gave and those that survived clean-up."""
    spelled = {command.name: command for command in raw if isinstance(command, SetSlot)}
    survivors = tuple(
        spelled.get(command.name, command) if isinstance(command, SetSlot) else command for command in cleaned
    )
    return survivors or tuple(dict.fromkeys(raw))
