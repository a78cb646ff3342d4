"""Command sources: anything that turns a user's message into commands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from core.dialogue.commands import Command, InternalError
from core.dialogue.tracker import Tracker


@dataclass(frozen=True)
class UserMessage:
    """What the user sent."""

    text: str
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Prediction:
    """Commands for one message, with what a language model was shown and answered."""

    commands: tuple[Command, ...]
    prompt: str | None = None
    """Rendered prompt; None when no prompt was needed (payloads, recordings)."""
    completion: str | None = None
    """Raw answer of the model."""
    seconds: float = 0.0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached: bool = False


def unread(text: str, max_characters: int) -> InternalError | None:
    """What a message means that no model is shown, because it is empty or too long; None for others."""
    if not text.strip():
        return InternalError("rasa_internal_error_user_input_empty")
    if 0 <= max_characters < len(text):  # a negative number can only mean that there is no limit
        return InternalError("rasa_internal_error_user_input_too_long", (("max_characters", max_characters),))
    return None


class CommandSource(Protocol):
    """Predicts commands. Payload messages (`/SetSlots(...)`, `/intent`) never reach a source; the runner handles them."""

    async def predict(self, tracker: Tracker, message: UserMessage) -> Prediction:
        """Commands for `message`, raw (before clean-up), given the conversation so far. Raises ProviderError."""
        ...
