"""Texts that others wrote, made fit for a terminal: nothing in them moves the cursor, turns the writing round or goes on for ever."""

from __future__ import annotations

import re

MOST_CHARACTERS = 2000
_COLOURS = re.compile(r"\x1b\[[0-9;:]*[A-Za-z]")
"""What programs colour their lines with; it would otherwise be shown as signs."""
_UNSEEN = re.compile("[\u00ad\u200b-\u200d\u2060-\u2064\ufe00-\ufe0f\ufeff\ufff9-\ufffb\U000e0001-\U000e01ef]")
"""Joiners and variation selectors, with which terminals disagree about the width of emoji, and other characters without one."""
_STEERING = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2065-\u206f\ud800-\udfff]")
"""Control characters, what changes the direction of letters, ends of lines, and halves of characters, which cannot be encoded."""
_SPACE = re.compile(r"\s+")


def safe(text: str, most: int = MOST_CHARACTERS) -> str:
    """The text with line breaks kept, what steers a terminal as pictures, and cut with a note."""
    cut = len(text) - most
    text = _cleaned(text[:most].replace("\r\n", "\n").expandtabs(4))
    return text if cut <= 0 else f"{text}… {cut:,} more characters"


def one_line(text: str, most: int = 400) -> str:
    """The same on one line, with single blanks."""
    text = _cleaned(_SPACE.sub(" ", text[: 20 * most]).strip())
    return text if len(text) <= most else f"{text[: most - 1]}…"


def log_line(text: str) -> str:
    """A line of a log: its blanks stay as they are, its colours go."""
    if text.isascii() and text.isprintable():
        return text
    return _cleaned(_COLOURS.sub("", text.rstrip("\r\n")).expandtabs(8).replace("\n", "␊"))


def _cleaned(text: str) -> str:
    return _STEERING.sub(_picture, _UNSEEN.sub("", text))


def _picture(match: re.Match[str]) -> str:
    code = ord(match[0])
    return chr(0x2400 + code) if code < 0x20 else "␡" if code == 0x7F else "\N{REPLACEMENT CHARACTER}"
