"""What a library prints while it works, handed on line by line: standard output is for data."""

from __future__ import annotations

import contextlib
import io
import re
import sys
import threading
from collections.abc import Iterator
from typing import TextIO

from provisioning.target import Say

ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Lines(io.TextIOBase):
    """A stream that hands on whole lines, without colours and progress bars."""

    def __init__(self, say: Say) -> None:
        self._say, self._rest = say, ""

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        *lines, self._rest = re.split(r"[\r\n]", self._rest + text)
        for line in lines:
            if plain := ANSI.sub("", line).rstrip():
                self._say(plain)
        return len(text)


@contextlib.contextmanager
def quiet(say: Say) -> Iterator[None]:
    """Hands on what is printed in this thread. What other threads print, and `say` itself, goes where it would have gone."""
    me = threading.get_ident()
    with _LOCK:
        shared = sys.stdout if isinstance(sys.stdout, _Shared) else _Shared(sys.stdout)
        sys.stdout = shared
        before = shared.lines.get(me)
        shared.lines[me] = Lines(say)
    try:
        yield
    finally:
        with _LOCK:
            del shared.lines[me]
            if before is not None:
                shared.lines[me] = before
            if not shared.lines and sys.stdout is shared:
                sys.stdout = shared.under


_LOCK = threading.Lock()


class _Shared(io.TextIOBase):
    """In the place of sys.stdout while a thread is quiet."""

    def __init__(self, under: TextIO) -> None:
        self.under = under
        self.lines: dict[int, Lines] = {}
        """By thread."""

    def write(self, text: str) -> int:
        me = threading.get_ident()
        lines = self.lines.pop(me, None)
        if lines is None:
            return self.under.write(text)
        try:
            return lines.write(text)
        finally:
            self.lines[me] = lines

    def flush(self) -> None:
        self.under.flush()

    def __getattr__(self, name: str) -> object:
        return getattr(self.under, name)

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self.under.encoding

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return self.under.isatty()

    def fileno(self) -> int:
        return self.under.fileno()
