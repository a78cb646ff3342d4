"""Annotated conversations: what a passing test teaches, turn by turn, and in which other words it can be said."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from core.dialogue.commands import Command, SetSlot
from core.dialogue.events import BotSaid, FlowStarted, UserSaid
from core.dialogue.tracker import Tracker
from core.e2e.cases import TestCase
from core.e2e.results import TestResult, TurnRecord

REJECTIONS = (
    "is empty",
    "would be read as a button payload",
    "is the same as",
    "is nearly the same as",
    "loses the value",
    "is understood as",
    "was rejected by hand",
)
"""What reasons to reject a rephrasing begin with."""


@dataclass(frozen=True)
class Rejected:
    """A rephrasing that is not used."""

    text: str
    reason: str
    """A clause: "loses the value Elm Road 4"; it begins with its kind."""

    @property
    def kind(self) -> str:
        """The reason without what is particular to this message."""
        return next((kind for kind in REJECTIONS if self.reason.startswith(kind)), "other")


@dataclass(frozen=True)
class AnnotatedTurn:
    """One user turn with the commands a model should write for it."""

    record: TurnRecord
    commands: tuple[Command, ...] = ()
    """What the model should write; () when the turn is not annotated."""
    lines: tuple[str, ...] = ()
    """The same in the command language, one command each."""
    prompt: str = ""
    """What the model is shown; "" when the turn is not annotated."""
    skipped: str | None = None
    """Why the turn is not annotated: a clause; None when it is."""
    passing: tuple[str, ...] = ()
    """Rephrasings that mean the same, in the order they came."""
    rejected: tuple[Rejected, ...] = ()

    @property
    def user(self) -> str:
        return self.record.turn.user

    @property
    def annotated(self) -> bool:
        return self.skipped is None

    @property
    def rephrased(self) -> bool:
        """True when other wordings are wanted; `rephrase: false` in the metadata of test or step declines."""
        return self.annotated and self.record.turn.metadata.get("rephrase") is not False

    @property
    def only_answers(self) -> bool:
        """True when the message does no more than answer the open question: a value, no correction, no new flow."""
        corrected = FlowStarted("pattern_correction") in self.record.events
        return bool(self.commands) and not corrected and all(isinstance(command, SetSlot) for command in self.commands)

    @property
    def bot(self) -> tuple[tuple[str, str], ...]:
        """("utter", response) or ("bot", text) of each message the bot sent in this turn."""
        said = (event for event in self.record.events if isinstance(event, BotSaid))
        return tuple(("utter", event.utter) if event.utter else ("bot", event.text or "") for event in said)


@dataclass(frozen=True)
class AnnotatedConversation:
    """A passing test as a lesson."""

    result: TestResult
    turns: tuple[AnnotatedTurn, ...]
    """One for each of `result.turns`."""
    derived: str = ""
    """How it was made of a test that says something else: "other values", "cancelled", …; "" for the test itself."""

    @property
    def case(self) -> TestCase:
        return self.result.case

    @property
    def annotated_turns(self) -> tuple[AnnotatedTurn, ...]:
        return tuple(turn for turn in self.turns if turn.annotated)


def replay(fresh: Tracker, result: TestResult, messages: Sequence[str] | None = None) -> Iterator[Tracker]:
    """The conversation as it stood before each turn, optionally with other words in the user's mouth.

    A tracker is the fold of its events, so the recorded ones suffice: no action runs again, and the state is the true
    one. That the words may change and the events may not rests on the commands being the same. The tracker yielded is
    the one that moves on; fork it to keep it. `messages` holds one text for each turn.
    """
    tracker = fresh
    tracker.apply_all(result.opening)
    tracker.slots.update(result.case.fixture_slots)  # as the runner does: fixtures are no events
    for at, record in enumerate(result.turns):
        yield tracker
        for event in record.events:
            if messages is not None and isinstance(event, UserSaid):
                tracker.apply(replace(event, text=messages[at]))
            else:
                tracker.apply(event)
