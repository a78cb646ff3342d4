"""The lines of a log, kept small, and what finds some of them."""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterable, Iterator, Sequence

from core.assistant.matching import BadPattern, Pattern

_BLOCK = 4096
"""Lines that are looked through at once."""


class LogLines(Sequence[str]):
    """Lines as UTF-8 in one piece of memory: a line takes its length and 9 bytes, a million of 80 characters 89 MB."""

    def __init__(self) -> None:
        self._text = bytearray()
        self._ends = array("Q")

    def __len__(self) -> int:
        return len(self._ends)

    def add(self, lines: Iterable[str]) -> int:
        """Take over lines; one with line breaks becomes several. Returns how many cells the widest may take."""
        widest = 0
        for text in lines:
            for line in text.split("\n"):
                widest = max(widest, len(line) if line.isascii() else 2 * len(line))
                self._text += line.encode("utf-8", "surrogatepass") + b"\n"
                self._ends.append(len(self._text))
        return widest

    def __getitem__(self, index):  # type: ignore[no-untyped-def]
        if isinstance(index, slice):
            first, last, step = index.indices(len(self))
            assert step == 1
            return self._between(first, last).split("\n") if first < last else []
        return self._between(index, index + 1)

    def _between(self, first: int, last: int) -> str:
        """Lines `first` to below `last`, without the last break."""
        begin = self._ends[first - 1] if first else 0
        return self._text[begin : self._ends[last - 1] - 1].decode("utf-8", "surrogatepass")

    def blocks(self, first: int, end: int) -> Iterator[tuple[int, str]]:
        """(number of its first line, some thousand lines in one text), from line `first` to below `end`."""
        for begin in range(first, end, _BLOCK):
            yield begin, self._between(begin, min(begin + _BLOCK, end))


class Search:
    """Words, or a regular expression, that a line must hold; upper and lower case are the same."""

    def __init__(self, text: str, is_pattern: bool = False) -> None:
        """Raises BadPattern for what is no regular expression."""
        self.text = text
        self._folded = text.casefold()
        self._pattern = Pattern(text, re.IGNORECASE) if is_pattern else None
        self._literal = re.compile(re.escape(text), re.IGNORECASE)

    def __str__(self) -> str:
        return f"/{self.text}/" if self._pattern else f"“{self.text}”"

    def is_in(self, line: str) -> bool:
        """Raises BadPattern for a regular expression that takes too long."""
        return self._pattern.is_in(line) if self._pattern else self._folded in line.casefold()

    def in_lines(self, lines: LogLines, first: int, end: int) -> Iterator[int]:
        """Numbers of the lines that hold it, from line `first` to below `end`. Raises BadPattern as `is_in`."""
        for begin, text in lines.blocks(first, end):
            if self._pattern or self._folded in text.casefold():
                yield from (begin + at for at, line in enumerate(text.split("\n")) if self.is_in(line))

    def spans(self, line: str) -> list[tuple[int, int]]:
        """Where it is in a line: (first character, the one behind the last)."""
        try:
            found = self._pattern.spans(line) if self._pattern else [one.span() for one in self._literal.finditer(line)]
        except BadPattern:
            return []
        return [(begin, end) for begin, end in found if end > begin]
