"""Texts that others wrote, made fit for a terminal: nothing in them moves the cursor, turns the writing round or goes on for ever."""

from __future__ import annotations

import re

MOST_CHARACTERS = 4000
_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
_SPACE = re.compile(r"\s+")


def safe(text: str, most: int = MOST_CHARACTERS) -> str:
    """The text with line breaks kept, control and direction characters shown as �, and cut with a note."""
    text = _UNSAFE.sub("�", text.replace("\r\n", "\n").replace("\t", "    "))
    return text if len(text) <= most else f"{text[:most]} … ({len(text) - most:,} more characters)"


def one_line(text: str, most: int = 200) -> str:
    """The same on one line."""
    text = _UNSAFE.sub("�", _SPACE.sub(" ", text[: 20 * most]).strip())
    return text if len(text) <= most else f"{text[: most - 1]}…"
