"""Messages that buttons send: `/SetSlots(a=1, b="two, three")`, `/intent`, `/intent{"entity": "value"}`. They bypass the model."""

from __future__ import annotations

import json
import re
from collections.abc import Collection

from core.assistant.set_slots import EMPTY, read_set_slots
from core.dialogue.commands import Command, Restart, SessionStart, SetSlot, TriggerIntent
from core.errors import UsageError

MOST_SLOTS = 10
"""Pairs one `/SetSlots` may hold."""
_INTENT = re.compile(r"/(?P<intent>[A-Za-z_][\w-]*)(?:@[\d.]+)?\s*(?P<entities>\{.*\})?\s*\Z", re.DOTALL)


def parse(text: str, meant: Collection[tuple[str, str]] = ()) -> tuple[Command, ...] | None:
    """Commands of a payload; None for ordinary text. Raises UsageError for a `/SetSlots` that cannot be read.

    Values are text; an empty one, None, null and undefined empty the slot, unless they are `meant`: a (slot, value) pair that the
    assistant knows.
    """
    if not text.startswith("/"):
        return None
    pairs = read_set_slots(text)
    if pairs is not None:
        if len(pairs) > MOST_SLOTS:
            raise UsageError(f"{text!r} sets {len(pairs)} slots; a payload may set {MOST_SLOTS}")
        return tuple(_set_slot(name, value, meant) for name, value in pairs)
    match = _INTENT.match(text)
    if match is None:
        return None
    if match["intent"] == "session_start":
        return (SessionStart(),)
    if match["intent"] == "restart":
        return (Restart(),)
    return (TriggerIntent(match["intent"], _entities(match["entities"])),)


def _set_slot(name: str, value: str, meant: Collection[tuple[str, str]]) -> SetSlot:
    folded = value.casefold()
    return SetSlot(name, None if folded in EMPTY and (name, folded) not in meant else value)


def _entities(text: str | None) -> tuple[tuple[str, object], ...]:
    """Entities in JSON; doubled braces come from response templates."""
    if text is None:
        return ()
    try:
        found = json.loads(text[1:-1] if text.startswith("{{") else text)
    except ValueError:
        return ()
    return tuple(found.items()) if isinstance(found, dict) else ()
