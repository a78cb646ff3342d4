"""Which rephrasings are kept. Cheap reasons to drop one come first, then the command source is asked again.

A wording stands if, in its place, it is understood as the same commands: the completion of its row is that of the
original. Without a language model to ask only the cheap reasons apply; the run's record says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from core.dataset.choices import Equality
from core.dataset.conversation import AnnotatedConversation, AnnotatedTurn, Rejected, replay
from core.dataset.text import holds, normalised, similarity
from core.dataset.together import together
from core.dialogue.cleanup import clean_up
from core.dialogue.command_text import render
from core.dialogue.commands import Command, InternalError, SetSlot
from core.dialogue.engine import Engine
from core.dialogue.source import CommandSource, UserMessage
from core.dialogue.tracker import Tracker

NEARLY_THE_SAME = 0.9
"""Share of common trigrams from which a wording teaches nothing new; another order of words or a typo stays below."""



@dataclass(frozen=True)
class Understanding:
    """Asks a command source whether a wording is understood as the original was."""

    source: CommandSource
    engine: Engine
    equality: Equality = "names"

    async def objection(self, tracker: Tracker, message: UserMessage, commands: Sequence[Command]) -> str | None:
        """Why `message` will not do in the place of one understood as `commands`; None when it will.

        Raises ProviderError.
        """
        prediction = await self.source.predict(tracker, message)
        wanted = clean_up(commands, tracker, self.engine.index)
        got = clean_up(prediction.commands, tracker, self.engine.index)
        if self._meaning(wanted) == self._meaning(got):
            return None
        return f"is understood as {'; '.join(map(_shown, got)) or 'nothing'}"

    def _meaning(self, commands: Sequence[Command]) -> frozenset[object]:
        return frozenset(self._free_text(command) or command for command in commands)

    def _free_text(self, command: Command) -> str | None:
        """The slot's name, where its value does not count; else None."""
        if self.equality == "strict" or not isinstance(command, SetSlot):
            return None
        return command.name if self.engine.index.slots[command.name].type in ("text", "any", "list") else None


def _shown(command: Command) -> str:
    return "an error" if isinstance(command, InternalError) else render(command, "v2")


async def validate(
    conversation: AnnotatedConversation,
    candidates: Mapping[int, Sequence[str]],
    engine: Engine,
    understanding: Understanding | None,
) -> AnnotatedConversation:
    """The conversation with its candidates sorted into passing and rejected.

    `candidates` by position of the turn. Without `understanding` only the cheap reasons are looked for. Raises
    ProviderError.
    """
    before = [tracker.fork() for tracker in replay(engine.new_tracker(), conversation.result)]
    turns = [
        _sorted(turn, candidates.get(at, ()), before[at], understanding) if turn.annotated else _unchanged(turn)
        for at, turn in enumerate(conversation.turns)
    ]
    return replace(conversation, turns=tuple(await together(turns)))


async def _unchanged(turn: AnnotatedTurn) -> AnnotatedTurn:
    return turn


async def _sorted(
    turn: AnnotatedTurn, candidates: Sequence[str], tracker: Tracker, understanding: Understanding | None
) -> AnnotatedTurn:
    reasons = cheap_objections(turn, candidates)
    if understanding is not None:
        asked = [at for at, reason in enumerate(reasons) if reason is None]
        answers = await together(
            understanding.objection(tracker, UserMessage(candidates[at], turn.record.turn.metadata), turn.commands)
            for at in asked
        )
        for at, answer in zip(asked, answers, strict=True):
            reasons[at] = answer
    judged = list(zip(candidates, reasons, strict=True))
    passing = tuple(text for text, reason in judged if reason is None)
    rejected = tuple(Rejected(text, reason) for text, reason in judged if reason is not None)
    return replace(turn, passing=passing, rejected=rejected)


def cheap_objections(turn: AnnotatedTurn, candidates: Sequence[str]) -> list[str | None]:
    """For each candidate a reason to drop it that costs nothing to find, or None."""
    seen = {normalised(turn.user): "the original"}
    kept = [turn.user]
    reasons: list[str | None] = []
    for candidate in candidates:
        same = seen.get(normalised(candidate))
        lost = lost_values(turn, candidate)
        if not candidate.strip():
            reasons.append("is empty")
        elif candidate.lstrip().startswith("/"):
            reasons.append("would be read as a button payload")
        elif same is not None:
            reasons.append(f"is the same as {same}")
        elif lost:
            reasons.append(f"loses the value {', '.join(lost)}")
        elif (
            near := next((text for text in kept if similarity(text, candidate) >= NEARLY_THE_SAME), None)
        ) is not None:
            reasons.append(f"is nearly the same as {near!r}")
        else:
            reasons.append(None)
            seen[normalised(candidate)] = repr(candidate)
            kept.append(candidate)
    return reasons


def lost_values(turn: AnnotatedTurn, candidate: str) -> list[str]:
    """Slot values that the original message spells out and the candidate does not."""
    values = (command.value for command in turn.commands if isinstance(command, SetSlot))
    return [str(value) for value in values if holds(turn.user, value) and not holds(candidate, value)]
