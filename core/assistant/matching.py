"""Regular expressions that owners write: those of Python, with an end to backtracking.

`re` cannot be stopped; `regex` reads the same syntax and takes a limit, in processor time, so that a busy machine does not matter. A
pattern that exceeds it once is not tried again.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

import regex

LIMIT_SECONDS = 1.0
"""Processor time for one search; patterns that people mean take less than a thousandth."""
LONGEST_PATTERN = 10_000
"""Characters."""


class BadPattern(Exception):
    """A pattern that cannot be used; the message says which and why."""


class SlowPattern(BadPattern):
    """A pattern that takes too long."""


class Pattern:
    """One pattern, ready to search with."""

    def __init__(self, source: str, flags: int = 0) -> None:
        """`flags`: those of `re`. Raises BadPattern."""
        if len(source) > LONGEST_PATTERN:
            raise BadPattern(f"a pattern is longer than {LONGEST_PATTERN:,} characters")
        try:
            re.compile(source, flags)  # `regex` alone knows more, such as recursion
            self._compiled: Any = regex.compile(source, flags)
        except (re.error, regex.error, RecursionError, OverflowError) as error:
            raise BadPattern(f"the pattern {source!r} cannot be read: {error}") from error
        self._source = source
        self._is_slow = False

    def is_in(self, text: str) -> bool:
        """True when the pattern matches anywhere. Raises SlowPattern."""
        if not self._is_slow:
            try:
                return self._compiled.search(text, timeout=LIMIT_SECONDS) is not None
            except (TimeoutError, MemoryError):
                self._is_slow = True
        raise self._too_slow(text)

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Every match: (first character, the one behind the last). Raises SlowPattern."""
        if not self._is_slow:
            try:
                return [found.span() for found in self._compiled.finditer(text, timeout=LIMIT_SECONDS)]
            except (TimeoutError, MemoryError):
                self._is_slow = True
        raise self._too_slow(text)

    def _too_slow(self, text: str) -> SlowPattern:
        return SlowPattern(
            f"the pattern {self._source!r} takes longer than {LIMIT_SECONDS:g} s on {text[:40]!r}; "
            "write it without repetitions inside repetitions"
        )


@lru_cache(maxsize=4096)
def pattern(source: str, flags: int = 0) -> Pattern:
    """The pattern of a text, made once. Raises BadPattern."""
    return Pattern(source, flags)
