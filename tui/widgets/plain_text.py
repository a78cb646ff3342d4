"""Text of programs, models and owners as one line of cells: nothing in it steers the terminal or moves what stands beside it."""

from __future__ import annotations

import re

_COLOURS = re.compile(r"\x1b\[[0-9;:]*[A-Za-z]")
"""What programs colour their lines with; it would otherwise be shown as signs."""
_UNSEEN = re.compile("[\u200b-\u200d\u2060\ufe00-\ufe0f\ufeff\U000e0001-\U000e01ef]")
"""Joiners and variation selectors, with which terminals disagree about the width of emoji."""
_STEERING = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters, what changes the direction of letters, ends of lines, and halves of characters, which cannot be encoded."""
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def one_line(text: str) -> str:
    """The text without tabs, escapes and anything else that is not a sign."""
    if text.isascii() and text.isprintable():
        return text
    text = _COLOURS.sub("", text.rstrip("\r\n")).expandtabs(8)
    return _STEERING.sub(_REPLACEMENT, _UNSEEN.sub("", text))
