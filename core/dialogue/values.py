"""What slot types make of a value: coercion of what users and models write, and whether the outcome is acceptable."""

from __future__ import annotations

from typing import Any

from core.assistant.domain import Slot

TRUE_WORDS = frozenset({"true", "yes", "y", "1"})
FALSE_WORDS = frozenset({"false", "no", "n", "0"})


def coerce(slot: Slot, value: Any) -> Any:
    """`value` in the slot's type where that is possible, else unchanged; `acceptable` then tells.

    bool: true/yes/y/1 and false/no/n/0 in any case. float: numbers as text, thousands commas allowed. categorical: any case
    of a defined value becomes that value. text: numbers and booleans become text. any and list stay as they are.
    """
    if value is None:
        return None
    if slot.type == "bool":
        return _as_bool(value)
    if slot.type == "float":
        return _as_float(value)
    if slot.type == "categorical":
        folded = str(value).strip().casefold()
        return next((allowed for allowed in slot.values if str(allowed).casefold() == folded), value)
    if slot.type == "text" and not isinstance(value, str):
        return str(value)
    return value


def acceptable(slot: Slot, value: Any) -> bool:
    """True when a (coerced) value is one of the slot's type; None, an empty slot, is acceptable to all."""
    if value is None:
        return True
    if slot.type == "bool":
        return isinstance(value, bool)
    if slot.type == "float":
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if slot.type == "categorical":
        return value in slot.values
    return True


def same(slot: Slot, one: Any, other: Any) -> bool:
    """True when two values are the same to this slot, e.g. "50" and 50.0 to a float slot."""
    first, second = coerce(slot, one), coerce(slot, other)
    return bool(first == second and isinstance(first, bool) == isinstance(second, bool))


def _as_bool(value: Any) -> Any:
    if isinstance(value, bool):
        return value
    folded = str(value).strip().casefold()
    return True if folded in TRUE_WORDS else False if folded in FALSE_WORDS else value


def _as_float(value: Any) -> Any:
    if isinstance(value, bool):
        return value
    if isinstance(value, (int, float)):
        return float(value)
    try:
        number = float(str(value).strip().replace(",", ""))
    except ValueError:
        return value
    return number if number - number == 0 else value  # neither nan nor infinite
