"""A text that a regular expression matches, for the plain kind that owners write about numbers, codes and addresses."""

from __future__ import annotations

import re

from core.assistant import matching
from core.assistant.matching import BadPattern

LONGEST = 1000
"""Characters of a text."""
_CLASSES = {"d": "1", "w": "a", "s": " ", "D": "a", "W": "-", "S": "a", "t": "\t", "n": "\n"}
_NOTHING = frozenset("bBAZz")
"""Escapes that stand for a place in the text."""
_PLAIN = "a1A -_.@#"
"""What `.` and a negated class are tried with."""
_TIMES = re.compile(r"\{(\d*)(?:,\d*)?\}")
_GROUP = re.compile(r"\?(?::|P<\w+>)")


def example(pattern: str) -> str | None:
    """A short text that matches; None where the pattern is of another kind, such as one that looks ahead or back."""
    try:
        reader = _Reader(pattern)
        text = reader.alternatives()
        return text if not reader.rest and matching.pattern(pattern).is_in(text) else None
    except (ValueError, IndexError, RecursionError, BadPattern, re.error):
        return None


class _Reader:
    """Reads a pattern from its beginning; the first of several ways is taken, and as few repetitions as are allowed."""

    def __init__(self, pattern: str) -> None:
        self.rest = pattern

    def take(self) -> str:
        first, self.rest = self.rest[0], self.rest[1:]
        return first

    def alternatives(self) -> str:
        text = self._sequence()
        while self.rest.startswith("|"):
            self.take()
            self._sequence()
        return text

    def _sequence(self) -> str:
        parts = []
        while self.rest and self.rest[0] not in "|)":
            one, times = self._one(), self._times()
            if len(one) * times > LONGEST:
                raise ValueError("a long text")
            parts.append(one * times)
        return "".join(parts)

    def _one(self) -> str:
        sign = self.take()
        if sign == "(":
            return self._group()
        if sign == "[":
            return self._class()
        if sign == "\\":
            return self._escaped()
        if sign in "*+?{":
            raise ValueError("nothing to repeat")
        return {"^": "", "$": "", ".": "a"}.get(sign, sign)

    def _group(self) -> str:
        if self.rest.startswith("?"):
            match = _GROUP.match(self.rest)
            if match is None:
                raise ValueError("a look around")
            self.rest = self.rest[match.end() :]
        text = self.alternatives()
        if self.take() != ")":
            raise ValueError("a group is not closed")
        return text

    def _escaped(self) -> str:
        sign = self.take()
        if sign.isdigit():
            raise ValueError("a reference back")
        return "" if sign in _NOTHING else _CLASSES.get(sign, sign)

    def _class(self) -> str:
        """The first character that a class holds."""
        begun = self.rest
        if self.rest.startswith("^"):
            self.take()
        first = ""
        while not first or not self.rest.startswith("]"):
            first = first or self.rest[0]
            if self.take() == "\\":
                self.take()
        whole = f"[{begun[: len(begun) - len(self.rest)]}]"
        self.take()
        candidates = _PLAIN + first + (begun[1] if first == "\\" else "")
        return next(sign for sign in candidates if re.fullmatch(whole, sign))

    def _times(self) -> int:
        if self.rest[:1] in ("*", "?"):
            times = 0
        elif self.rest[:1] == "+":
            times = 1
        elif (match := _TIMES.match(self.rest)) is not None:
            self.rest = self.rest[match.end() :]
            times = int(match[1] or 0)
            return self._lazy(times)
        else:
            return 1
        self.take()
        return self._lazy(times)

    def _lazy(self, times: int) -> int:
        if self.rest[:1] in ("?", "+"):
            self.take()
        return times
