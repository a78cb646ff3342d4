"""Frames of the dialogue stack. A stack is a tuple of frames, bottom first; frames are values, so forking costs nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

FrameKind = Literal["regular", "interrupt", "call", "link", "pattern"]


@dataclass(frozen=True, slots=True)
class Frame:
    """A flow in progress and where it stands."""

    flow: str
    step: str
    """Id of the step to run next (or waiting for input), or END."""
    kind: FrameKind = "regular"
    context: Mapping[str, Any] = field(default_factory=dict)
    """Properties of a pattern frame (`context.…` in conditions and templates); empty for business flows."""
    id: int = 0
    """Unique within a conversation."""
    begun: bool = False
    """False while the flow waits for its first step, e.g. the second of two flows started by one message."""

    @property
    def is_pattern(self) -> bool:
        return self.kind == "pattern"


Stack = tuple[Frame, ...]


def top_user_frame(stack: Sequence[Frame]) -> Frame | None:
    """The topmost frame of a business flow (a called one included), or None."""
    return next((frame for frame in reversed(stack) if not frame.is_pattern), None)


def active_frames(stack: Sequence[Frame]) -> list[Frame]:
    """The topmost business flow with the flows that called it, child first; [] when none is active."""
    chain: list[Frame] = []
    for frame in reversed(stack):
        if frame.is_pattern:
            continue
        chain.append(frame)
        if frame.kind != "call":
            break
    return chain
