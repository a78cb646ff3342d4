"""The state of one conversation: the fold of its events."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from core.dialogue.events import BotSaid, Event, SessionStarted, SlotSet, StackChanged, UserSaid
from core.dialogue.stack import Stack


class Tracker:
    """Slots, stack and history of a conversation. Changed only by `apply`; `fork` is cheap, so searches may try things."""

    __slots__ = ("_session", "events", "sender", "slots", "stack")

    def __init__(self, slots: Mapping[str, Any], sender: str = "default") -> None:
        self.sender = sender
        self.slots: dict[str, Any] = dict(slots)
        self.stack: Stack = ()
        self.events: list[Event] = []
        self._session = 0

    def fork(self) -> Tracker:
        """An independent copy; events and frames are shared values."""
        copy = Tracker(self.slots, self.sender)
        copy.stack, copy.events, copy._session = self.stack, self.events.copy(), self._session
        return copy

    def apply(self, event: Event) -> None:
        """Append one event and take over what it changes."""
        self.events.append(event)
        if isinstance(event, SlotSet):
            self.slots[event.name] = event.value
        elif isinstance(event, StackChanged):
            self.stack = event.stack
        elif isinstance(event, SessionStarted):
            self._session = len(self.events)

    def apply_all(self, events: Iterable[Event]) -> None:
        for event in events:
            self.apply(event)

    @property
    def session_events(self) -> list[Event]:
        """Events since the session began."""
        return self.events[self._session :]

    def transcript(self, turns: int | None = None) -> list[tuple[str, str]]:
        """("USER" | "AI", text) pairs of this session, oldest first; `turns` keeps the last so many user messages on."""
        lines: list[tuple[str, str]] = []
        for event in self.session_events:
            if isinstance(event, UserSaid):
                lines.append(("USER", event.text))
            elif isinstance(event, BotSaid) and event.text:
                lines.append(("AI", event.text))
        if turns is not None:
            starts = [index for index, (who, _) in enumerate(lines) if who == "USER"]
            lines = lines[starts[-turns] :] if 0 < turns <= len(starts) else lines if turns else []
        return lines
