"""How many calls are under way at once: as many as the endpoint takes without refusing or slowing down.

Additive increase, multiplicative decrease (Chiu and Jain, 1989): one more for each answer until the first refusal, then one more for
each round of answers; half as many after a refusal or a time-out, once for all calls that were under way at that moment.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

FIRST = 16
"""Calls at once to begin with."""
SLOWER = 2.0
"""No rise while answers take this many times what they usually take."""
_RECENT, _USUAL = 0.2, 0.02
"""Weights of a new answer in the two running means of seconds."""


@dataclass(frozen=True)
class Clock:
    """Time as the engine sees it; tests bring their own."""

    now: Callable[[], float] = time.monotonic
    """Seconds, from any beginning."""
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep


SYSTEM_CLOCK = Clock()


class Pace:
    """Slots for calls, more or fewer as the endpoint bears."""

    def __init__(self, most: int, clock: Clock) -> None:
        """`most` is never exceeded."""
        self._most, self._clock = most, clock
        self._limit = float(min(FIRST, most))
        self._free = asyncio.Semaphore(int(self._limit))
        self._owed = 0
        self._climbing = True
        self._slowed_at = self._not_before = float("-inf")
        self._recent = self._usual = 0.0

    @property
    def limit(self) -> int:
        """Calls that may be under way now."""
        return int(self._limit)

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Waits for a free slot, and until a pause the endpoint asked for is over."""
        await self._free.acquire()
        try:
            while (wait := self._not_before - self._clock.now()) > 0:
                await self._clock.sleep(wait)
            yield
        finally:
            self._release()

    def answered(self, seconds: float) -> None:
        """A call was answered after so many seconds."""
        self._recent = self._recent + _RECENT * (seconds - self._recent) if self._recent else seconds
        self._usual = self._usual + _USUAL * (seconds - self._usual) if self._usual else seconds
        if self._recent <= SLOWER * self._usual:
            self._change(self._limit + (1.0 if self._climbing else 1.0 / self._limit))

    def refused(self, started: float) -> None:
        """A call that began at `started` was refused as one too many, or not answered in time."""
        if started >= self._slowed_at:
            self._climbing = False
            self._slowed_at = self._clock.now()
            self._change(self._limit / 2)

    def pause(self, seconds: float) -> None:
        """Nobody begins before these seconds are over: the endpoint asked for it."""
        self._not_before = max(self._not_before, self._clock.now() + seconds)

    def _change(self, limit: float) -> None:
        before, self._limit = self.limit, min(max(limit, 1.0), float(self._most))
        self._owed += max(0, before - self.limit)
        for _ in range(self.limit - before):
            self._release()

    def _release(self) -> None:
        """A slot becomes free, or makes up for one that was taken away while it was in use."""
        if self._owed:
            self._owed -= 1
        else:
            self._free.release()
