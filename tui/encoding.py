"""Letters for terminals and files that cannot carry all of Unicode: signs become ASCII, anything else its escape."""

from __future__ import annotations

import codecs
import os
import sys
import unicodedata
from typing import TextIO

ERRORS = "calmtune"
"""Name of the error handler, for encoders."""
_ASCII = {
    "·": "-", "•": "*", "→": "->", "←": "<-", "↑": "^", "↓": "v", "–": "-", "—": "-", "−": "-", "×": "x", "≥": ">=", "≤": "<=",
    "≈": "~", "±": "+-", "…": "...", "“": '"', "”": '"', "„": '"', "’": "'", "‘": "'", "✓": "+", "✗": "x", "€": "EUR", "°": " deg",
    "½": "1/2", "²": "2", "³": "3", "\N{NO-BREAK SPACE}": " ", "\N{NARROW NO-BREAK SPACE}": " ", "─": "-", "│": "|", "└": "+", "█": "#",
}  # fmt: skip
"""The signs of our own texts."""


def prepare_streams() -> None:
    """Make stdout and stderr take any text. Who says LC_ALL=C means ASCII, although Python would write UTF-8."""
    codecs.register_error(ERRORS, _replaced)
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:  # whoever started us closed it
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115  # open to the end
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="us-ascii" if _ascii_only() else None, errors=ERRORS)


def leave_to_app() -> None:
    """The app draws frames, for which ASCII has no letters: it writes what Python would."""
    for stream in (sys.stdout, sys.stderr):
        if _ascii_only() and hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="utf-8")


def _ascii_only() -> bool:
    return os.environ.get("LC_ALL") in ("C", "POSIX")


def carries(stream: TextIO, text: str) -> bool:
    """Whether a stream can write a text as it is."""
    try:
        text.encode(stream.encoding or "utf-8")
    except UnicodeEncodeError:
        return False
    return True


def fitting(text: str, stream: TextIO) -> str:
    """The text as it will be read from a stream, for columns that are to be in line."""
    if text.isascii() or carries(stream, text):
        return text
    codecs.register_error(ERRORS, _replaced)
    return text.encode(stream.encoding or "utf-8", ERRORS).decode(stream.encoding or "utf-8")


def width(text: str) -> int:
    """Cells of a terminal that a text takes."""
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(letter) else 1 + (unicodedata.east_asian_width(letter) in "WF") for letter in text)


def _replaced(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    letters = error.object[error.start : error.end]
    escaped = [_ASCII.get(letter) or letter.encode("ascii", "backslashreplace").decode() for letter in letters]
    return "".join(escaped), error.end
