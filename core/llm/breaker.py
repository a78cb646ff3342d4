"""A circuit breaker: an endpoint that fails again and again is left alone, instead of being asked by every call in turn."""

from __future__ import annotations

from core.errors import ProviderError
from core.llm.pace import Clock

FAILURES = 12
"""Failures in a row, over all calls, after which the endpoint is taken to be down; more than one call's tries."""
REST_SECONDS = 30.0
"""How long it is left alone before one call may see whether it is back."""


class Breaker:
    """Closed while calls succeed; open after too many failures in a row."""

    def __init__(self, name: str, clock: Clock) -> None:
        self._name, self._clock = name, clock
        self._failures = 0
        self._closed_again_at = float("-inf")
        self._last = ""

    def check(self) -> None:
        """Raises ProviderError while the endpoint is left alone. After the rest one call is let through, to see."""
        if self._failures < FAILURES:
            return
        now = self._clock.now()
        if now < self._closed_again_at:
            raise ProviderError(
                f"{self._name} failed {self._failures} times in a row and is left alone; the last time it {self._last}"
            )
        self._closed_again_at = now + REST_SECONDS

    def succeeded(self) -> None:
        self._failures = 0

    def failed(self, reason: str) -> None:
        """`reason` is a clause: "refused: HTTP 500"."""
        self._failures += 1
        self._last = reason
        if self._failures == FAILURES:
            self._closed_again_at = self._clock.now() + REST_SECONDS
