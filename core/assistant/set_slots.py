"""`/SetSlots(a=1, b="two, three")`, which buttons send: slots and values as text."""

from __future__ import annotations

import re
from collections.abc import Iterator

from core.errors import UsageError

EMPTY = frozenset({"none", "null", "undefined", ""})
"""Values, in small letters, that empty a slot."""
_CALL = re.compile(r"/SetSlots\((?P<pairs>.*)\)\s*\Z", re.DOTALL)
_PAIR = re.compile(
    r"""\s*(?P<name>[^\s=,]+)\s*=\s*(?:(?P<quote>['"])(?P<quoted>(?:\\.|(?!(?P=quote))[^\\])*)(?P=quote)|(?P<plain>[^,]*?))\s*(?:,|\Z)""",
    re.DOTALL,
)


def read_set_slots(payload: str) -> list[tuple[str, str]] | None:
    """(slot, value) pairs; None for another payload. A value in quotes may hold commas, and its quotes and backslashes after a backslash.

    Raises UsageError for one that cannot be read.
    """
    if not payload.startswith("/SetSlots"):
        return None
    match = _CALL.match(payload)
    if match is None:
        raise UsageError(f"{payload!r} cannot be read; write /SetSlots(slot=value, other=value)")
    return list(_pairs(match["pairs"], payload))


def _pairs(text: str, payload: str) -> Iterator[tuple[str, str]]:
    at = 0
    while text[at:].strip():
        match = _PAIR.match(text, at)
        if match is None:
            raise UsageError(f"{payload!r} cannot be read: {text[at:].strip()!r} does not begin with slot=value")
        yield match["name"], match["plain"] if match["quoted"] is None else re.sub(r"\\(['\"\\])", r"\1", match["quoted"])
        at = match.end()
