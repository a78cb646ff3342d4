"""Commands: what a user's message means to the engine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class StartFlow:
    flow: str


@dataclass(frozen=True, slots=True)
class SetSlot:
    name: str
    value: Any
    """Text as the model wrote it, or a typed value from a button payload or a test; the engine coerces."""


@dataclass(frozen=True, slots=True)
class CancelFlow:
    pass


@dataclass(frozen=True, slots=True)
class Clarify:
    flows: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SkipQuestion:
    pass


@dataclass(frozen=True, slots=True)
class SearchAndReply:
    pass


@dataclass(frozen=True, slots=True)
class ChitChat:
    pass


@dataclass(frozen=True, slots=True)
class HumanHandoff:
    pass


@dataclass(frozen=True, slots=True)
class RepeatMessage:
    pass


@dataclass(frozen=True, slots=True)
class CannotHandle:
    """Internal: nothing usable was understood."""

    reason: str = "cannot_handle_default"


@dataclass(frozen=True, slots=True)
class InternalError:
    """Internal: the model call failed, or the message is empty or too long."""

    error_type: str = "rasa_internal_error_default"
    info: tuple[tuple[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class SessionStart:
    """Internal: the conversation begins (`/session_start`)."""


@dataclass(frozen=True, slots=True)
class Restart:
    """Internal: `/restart`."""


@dataclass(frozen=True, slots=True)
class TriggerIntent:
    """Internal: an intent payload (`/name{...}`); starts the flow or pattern whose nlu_trigger names it."""

    intent: str
    entities: tuple[tuple[str, Any], ...] = ()


Command = (
    StartFlow
    | SetSlot
    | CancelFlow
    | Clarify
    | SkipQuestion
    | SearchAndReply
    | ChitChat
    | HumanHandoff
    | RepeatMessage
    | CannotHandle
    | InternalError
    | SessionStart
    | Restart
    | TriggerIntent
)
