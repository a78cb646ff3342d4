"""Requests and tokens a minute: what an endpoint grants a key, kept before it has to refuse."""

from __future__ import annotations

from dataclasses import dataclass

from core.llm.pace import Clock

_BURST_MINUTES = 1 / 6
"""What may be used at once, as a share of a minute's worth: endpoints measure over shorter spans too."""


@dataclass(frozen=True)
class Limits:
    """What one model may be asked; None where nothing is known."""

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    """Of prompts and answers together."""


UNLIMITED = Limits()


class Bucket:
    """Fills steadily and is drawn from; who finds too little waits, in the order of coming."""

    def __init__(self, per_minute: int, clock: Clock) -> None:
        self._per_second, self._clock = per_minute / 60, clock
        self._most = self._level = max(1.0, per_minute * _BURST_MINUTES)
        self._seen = clock.now()

    async def take(self, amount: float) -> None:
        """Draw `amount`, waiting until it is there. More than the bucket holds is waited for too."""
        now = self._clock.now()
        self._level = min(self._most, self._level + (now - self._seen) * self._per_second) - amount
        self._seen = now
        if self._level < 0:
            await self._clock.sleep(-self._level / self._per_second)

    def give_back(self, amount: float) -> None:
        """What was drawn and not used; negative when more was used than drawn."""
        self._level += amount


class Rate:
    """The buckets of one model."""

    def __init__(self, limits: Limits, clock: Clock) -> None:
        self._requests = Bucket(limits.requests_per_minute, clock) if limits.requests_per_minute else None
        self._tokens = Bucket(limits.tokens_per_minute, clock) if limits.tokens_per_minute else None

    async def take(self, tokens: int) -> None:
        """Wait until a request of about so many tokens is within the limits."""
        if self._requests:
            await self._requests.take(1)
        if self._tokens:
            await self._tokens.take(tokens)

    def settle(self, expected: int, used: int) -> None:
        """Tokens turned out to be `used` where `expected` were taken."""
        if self._tokens:
            self._tokens.give_back(expected - used)
