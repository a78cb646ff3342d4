"""Messages that buttons send: `/SetSlots(a=1, b="two, three")`, `/intent`, `/intent{"entity": "value"}`. They bypass the model."""

from __future__ import annotations

import json
import re
from collections.abc import Collection

from core.dialogue.commands import Command, Restart, SessionStart, SetSlot, TriggerIntent
from core.errors import UsageError

MOST_SLOTS = 10
"""Pairs one `/SetSlots` may hold."""
_SET_SLOTS = re.compile(r"/SetSlots\((?P<pairs>.*)\)\s*\Z", re.DOTALL)
_PAIR = re.compile(
    r"""\s*(?P<name>[^\s=,]+)\s*=\s*(?:(?P<quote>['"])(?P<quoted>(?:\\.|(?!(?P=quote))[^\\])*)(?P=quote)|(?P<plain>[^,]*?))\s*(?:,|\Z)""",
    re.DOTALL,
)
_INTENT = re.compile(r"/(?P<intent>[A-Za-z_][\w-]*)(?:@[\d.]+)?\s*(?P<entities>\{.*\})?\s*\Z", re.DOTALL)
_EMPTY = frozenset({"none", "null", "undefined", ""})


def parse(text: str, meant: Collection[tuple[str, str]] = ()) -> tuple[Command, ...] | None:
    """Commands of a payload; None for ordinary text. Raises UsageError for a `/SetSlots` that cannot be read.

    Values are text. One in quotes may hold commas, and its quotes and backslashes after a backslash; an empty one, None, null
    and undefined empty the slot, unless they are `meant`: a (slot, value) pair that the assistant knows.
    """
    if not text.startswith("/"):
        return None
    if text.startswith("/SetSlots"):
        match = _SET_SLOTS.match(text)
        if match is None:
            raise UsageError(f"{text!r} cannot be read; write /SetSlots(slot=value, other=value)")
        return tuple(_pairs(match["pairs"], text, meant))
    match = _INTENT.match(text)
    if match is None:
        return None
    if match["intent"] == "session_start":
        return (SessionStart(),)
    if match["intent"] == "restart":
        return (Restart(),)
    return (TriggerIntent(match["intent"], _entities(match["entities"])),)


def _pairs(text: str, payload: str, meant: Collection[tuple[str, str]]) -> list[SetSlot]:
    found: list[SetSlot] = []
    at = 0
    while text[at:].strip():
        match = _PAIR.match(text, at)
        if match is None:
            raise UsageError(f"{payload!r} cannot be read: {text[at:].strip()!r} does not begin with slot=value")
        value = match["plain"] if match["quoted"] is None else re.sub(r"\\(['\"\\])", r"\1", match["quoted"])
        is_empty = value.casefold() in _EMPTY and (match["name"], value.casefold()) not in meant
        found.append(SetSlot(match["name"], None if is_empty else value))
        at = match.end()
    if len(found) > MOST_SLOTS:
        raise UsageError(f"{payload!r} sets {len(found)} slots; a payload may set {MOST_SLOTS}")
    return found


def _entities(text: str | None) -> tuple[tuple[str, object], ...]:
    """Entities in JSON; doubled braces come from response templates."""
    if text is None:
        return ()
    try:
        found = json.loads(text[1:-1] if text.startswith("{{") else text)
    except ValueError:
        return ()
    return tuple(found.items()) if isinstance(found, dict) else ()
