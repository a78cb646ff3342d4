"""When two messages are the same or nearly so, and whether a message still holds a value."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import Any

from core.dataset.language import number_spans, numbers, words

_EXACT = 2**53
"""Whole numbers below this are told apart as floats."""


def normalised(text: str) -> str:
    """The text with case, spacing and punctuation around words levelled; equal in this form is the same message."""
    plain = unicodedata.normalize("NFKC", text)
    return " ".join(words(plain)) or plain.strip().casefold()


def similarity(one: str, other: str) -> float:
    """0 to 1: the share of character trigrams two messages have in common (Jaccard), in normalised form."""
    first, second = trigrams(one), trigrams(other)
    return len(first & second) / len(first | second)


@lru_cache(100_000)
def trigrams(text: str) -> frozenset[str]:
    """The character trigrams of a message in normalised form; never empty."""
    padded = f"  {normalised(text)}  "
    return frozenset(padded[at : at + 3] for at in range(len(padded) - 2))


def holds(text: str, value: Any) -> bool:
    """True when `text` holds a slot value as whole words, in any case; a number in digits or as a word."""
    wanted = _levelled(str(value))
    if re.search(rf"(?<!\w){re.escape(wanted)}(?!\w)", _levelled(text)):
        return True
    number = _number(value)
    return number is not None and number in numbers(text)


def levelled_value(value: Any) -> str | float:
    """A slot value with case, spacing and the spelling of a number levelled; equal in this form is the same value.

    What begins with a zero or is longer than a number can be told exactly is an identifier, and stays as it is.
    """
    text = _levelled(str(value))
    spans = list(number_spans(text))
    if len(spans) != 1 or spans[0][:2] != (0, len(text)) or re.match(r"-?0\d", text):
        return text
    return spans[0][2] if abs(spans[0][2]) < _EXACT else text


def _levelled(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).replace("’", "'").casefold().split())


def _number(value: Any) -> float | None:
    if isinstance(value, bool):
        return None
    try:
        return float(value)
    except (TypeError, ValueError):
        return None
