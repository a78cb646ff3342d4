"""Texts of others made fit to be drawn: nothing in them moves the cursor, changes colours or turns the line around."""

from __future__ import annotations

import re
import unicodedata

LONGEST = 2000
"""Characters of a text that are drawn."""
_ODD = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff]")


def plain(text: str, longest: int = LONGEST) -> str:
    """The text with control characters as pictures, tabs as blanks, and its end left out where it is too long."""
    cut = len(text) - longest
    shown = text if cut <= 0 else text[:longest]
    shown = _ODD.sub(_picture, shown.expandtabs(4))
    return shown if cut <= 0 else f"{shown}… {cut:,} more characters"


def plain_line(text: str, longest: int = LONGEST) -> str:
    """The same in one line."""
    return " ".join(plain(text, longest).split())


def _picture(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code == 0x200D:
        return match[0]  # joins emoji
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "␡"
    return "" if unicodedata.category(match[0]) == "Cf" else "\N{REPLACEMENT CHARACTER}"
