"""How much each client may ask: a token bucket for requests a minute, and a number of requests at once."""

from __future__ import annotations

import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

MOST_REMEMBERED = 10_000
"""Clients whose buckets are kept; the ones that asked longest ago are forgotten first."""


class TooManyError(Exception):
    """A request above a limit."""

    def __init__(self, seconds: float, message: str) -> None:
        """`seconds` until it may be tried again."""
        super().__init__(message)
        self.seconds = seconds


@dataclass
class _Bucket:
    tokens: float
    at: float


class Buckets:
    """A token bucket for each client (https://en.wikipedia.org/wiki/Token_bucket)."""

    def __init__(self, per_minute: float, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        """`burst` is how many requests at once a client that was quiet may make."""
        self._rate, self._burst, self._clock = per_minute / 60, burst, clock
        self._per_minute = per_minute
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def take(self, who: str) -> None:
        """Count a request. Raises TooManyError when the client has none left."""
        now = self._clock()
        bucket = self._buckets.setdefault(who, _Bucket(self._burst, now))
        self._buckets.move_to_end(who)
        if len(self._buckets) > MOST_REMEMBERED:
            self._buckets.popitem(last=False)
        bucket.tokens = min(self._burst, bucket.tokens + (now - bucket.at) * self._rate)
        bucket.at = now
        if bucket.tokens < 1:
            message = f"more than {self._per_minute:g} requests a minute"
            raise TooManyError((1 - bucket.tokens) / self._rate, message)
        bucket.tokens -= 1


class AtOnce:
    """How many requests of each client are under way."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._running: Counter[str] = Counter()

    @contextmanager
    def slot(self, who: str) -> Iterator[None]:
        """Hold one of the client's places. Raises TooManyError when all are taken."""
        if self._running[who] >= self._most:
            raise TooManyError(1.0, f"more than {self._most} requests at once")
        self._running[who] += 1
        try:
            yield
        finally:
            self._running[who] -= 1
            if not self._running[who]:
                del self._running[who]


def burst_of(per_minute: float) -> int:
    """What a client may ask at once after a pause: ten seconds' worth, ten at the least."""
    return max(10, round(per_minute / 6))
