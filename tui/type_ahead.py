"""Keys one after the other, however fast they come: typed ahead, or bunched by a slow line.

Textual gives each key to the widget that has the focus when it comes, before the keys ahead of it may have moved the focus, and runs
bindings only after a key has bubbled up, when letters behind it are already in their field. So one key is given at a time here; a message
that takes the same way behind it says that it is done with.
"""

from __future__ import annotations

import time
from collections import deque

from textual import events
from textual.app import App
from textual.message import Message
from textual.screen import Screen
from textual.timer import Timer

_LONGEST_SECONDS = 0.5
"""For which a key is waited for: its widget may have gone with it."""
_BEGINNING_SECONDS = 2.0
"""For which the first keys wait for a field to take them."""


class KeyDone(Message):
    """Comes up to the app behind a key, the same way."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


class TypeAheadApp(App[None]):
    """An app in which no key overtakes another, and none is lost that is typed before the first screen is there."""

    def __init__(self) -> None:
        super().__init__()
        self._typed: deque[events.Key] = deque()
        self._number = 0
        self._under_way: Timer | None = None
        self._first_typed: float | None = None
        self._begun = False

    async def on_event(self, event: events.Event) -> None:
        if not isinstance(event, events.Key) or event.is_forwarded:
            await super().on_event(event)
            return
        self._typed.append(event)
        if self._under_way is None:
            await self._give_keys()

    async def _give_keys(self) -> None:
        """Give the next key, and those behind it that nobody is to be waited for."""
        self._under_way = None
        while self._typed and self._under_way is None:
            if not self._has_begun():
                self._under_way = self.set_timer(0.05, self._give_keys)
                return
            key = self._typed.popleft()
            target = self.focused or self.screen
            await super().on_event(key)
            if key.is_forwarded:
                self._number += 1
                self._under_way = self.set_timer(_LONGEST_SECONDS, self._give_keys)
                target.post_message(KeyDone(self._number))

    async def on_key_done(self, message: KeyDone) -> None:
        if message.number == self._number and self._under_way is not None:
            self._under_way.stop()
            await self._give_keys()

    def _has_begun(self) -> bool:
        """Whether there is a screen to take keys; from the first of them on."""
        if not self._begun:
            self._first_typed = self._first_typed or time.monotonic()
            late = time.monotonic() - self._first_typed > _BEGINNING_SECONDS
            self._begun = type(self.screen) is not Screen and (self.screen.focused is not None or late)
        return self._begun
