"""What happened in a conversation, as values. A tracker is the fold of its events; tests and coverage read them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from core.assistant.domain import Button
from core.dialogue.commands import Command
from core.dialogue.stack import Frame


@dataclass(frozen=True, slots=True)
class UserSaid:
    """A message of the user, with the commands it was understood as."""

    text: str
    commands: tuple[Command, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class BotSaid:
    """One message of the bot."""

    text: str | None
    utter: str | None = None
    """Domain response it came from; None for messages of custom actions."""
    buttons: tuple[Button, ...] = ()
    image: str | None = None
    custom: Any = None
    action: str | None = None
    """Custom action it came from; None for responses."""


@dataclass(frozen=True, slots=True)
class SlotSet:
    """A slot took a value; None clears it."""

    name: str
    value: Any
    reset: bool = False
    """True when the engine cleaned up at the end of a flow, or emptied the slot before asking; tests see those only where they
    expect an empty slot."""


@dataclass(frozen=True, slots=True)
class ActionRan:
    """A custom or default action ran (responses are BotSaid, not this)."""

    name: str


@dataclass(frozen=True, slots=True)
class FlowStarted:
    flow: str


@dataclass(frozen=True, slots=True)
class FlowCompleted:
    flow: str
    step: str
    """Id of the last step that ran."""


@dataclass(frozen=True, slots=True)
class FlowCancelled:
    flow: str
    step: str


@dataclass(frozen=True, slots=True)
class FlowInterrupted:
    flow: str
    step: str


@dataclass(frozen=True, slots=True)
class FlowResumed:
    flow: str
    step: str


@dataclass(frozen=True, slots=True)
class FlowsOffered:
    """The clarification pattern named these flows as options."""

    flows: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StepVisited:
    """The engine passed a step; coverage counts these."""

    flow: str
    step: str
    skipped: bool = False
    """True for a collect whose slot was already filled."""


@dataclass(frozen=True, slots=True)
class StackChanged:
    """The dialogue stack as it is now, bottom first."""

    stack: tuple[Frame, ...]


@dataclass(frozen=True, slots=True)
class SessionStarted:
    """A (new) session; events before it are out of sight for prompts."""


@dataclass(frozen=True, slots=True)
class Warned:
    """The engine met something odd and went on; shown with a failing test."""

    message: str


Event = (
    UserSaid
    | BotSaid
    | SlotSet
    | ActionRan
    | FlowStarted
    | FlowCompleted
    | FlowCancelled
    | FlowInterrupted
    | FlowResumed
    | FlowsOffered
    | StepVisited
    | StackChanged
    | SessionStarted
    | Warned
)
