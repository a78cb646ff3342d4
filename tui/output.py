"""stdout is data, stderr is narration; the same bytes on a terminal, a pipe and a file, colour aside."""

from __future__ import annotations

import errno
import json
import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from core.e2e.redaction import KEY
from core.errors import UsageError
from tui.encoding import carries, fitting, width

_SECRET_NAMES = re.compile(r"(KEY|TOKEN|SECRET|PASSWORD|LICENSE)", re.I)


def redacted(text: str) -> str:
    """The text without anything that looks like a key, or that is the value of a secret environment variable."""
    for name, value in os.environ.items():
        if len(value) >= 8 and _SECRET_NAMES.search(name) and value in text:
            text = text.replace(value, "********")
    return KEY.sub("********", text)


def data(text: str) -> None:
    """A line of output."""
    print(text, flush=True)


def as_json(value: Any) -> None:
    """One JSON document of output."""
    data(json.dumps(value, ensure_ascii=not carries(sys.stdout, "é≥€"), indent=2, default=str))


def json_line(value: Any) -> str:
    """A value as JSON in one line that stdout can carry."""
    return json.dumps(value, ensure_ascii=not carries(sys.stdout, "é≥€"), default=str)


def narrate(text: str) -> None:
    """A line for the person watching."""
    print(redacted(text), file=sys.stderr, flush=True)


@contextmanager
def writing(place: Path) -> Iterator[None]:
    """Around writing where a person said. Raises UsageError when that is no place to write to; a full disk stays what it is."""
    try:
        yield
    except OSError as error:
        named = Path(error.filename or place)
        near = named.parent == place.parent or named.is_relative_to(place) or place.is_relative_to(named)
        if error.errno in (errno.ENOSPC, errno.EDQUOT) or not near:
            raise
        raise UsageError(f"{place} cannot be written ({error.strerror or error}); name another place") from error


def table(rows: Sequence[Sequence[str]], header: Sequence[str]) -> str:
    """Columns in line, the first left and the rest as they are; no colours, no borders."""
    every = [[fitting(cell, sys.stdout) for cell in row] for row in (header, *rows)]
    widths = [max(width(row[column]) for row in every) for column in range(len(header))]
    lines = ["  ".join(cell + " " * (wide - width(cell)) for cell, wide in zip(row, widths, strict=True)).rstrip() for row in every]
    lines.insert(1, "  ".join("-" * wide for wide in widths))
    return "\n".join(lines)


def is_terminal() -> bool:
    """True when a person can both read and type here."""
    return sys.stdin.isatty() and sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"
