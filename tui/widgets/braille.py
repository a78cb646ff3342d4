"""A canvas of braille cells: 2 × 4 dots a character, one colour a cell, the last series drawn wins it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from itertools import groupby

_DOT_BITS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))


class BrailleCanvas:
    """Dots on `width` × `height` character cells; (0, 0) is the top left dot."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self._bits = [[0] * width for _ in range(height)]
        self._series: list[list[int | None]] = [[None] * width for _ in range(height)]

    def dot(self, x: int, y: int, series: int) -> None:
        """Set one dot; a later series takes over the cell of an earlier one. Dots outside are left out."""
        column, row = x // 2, y // 4
        if not (0 <= column < self.width and 0 <= row < self.height):
            return
        owner = self._series[row][column]
        if owner is not None and owner != series:
            self._bits[row][column] = 0
        self._series[row][column] = series
        self._bits[row][column] |= _DOT_BITS[y % 4][x % 2]

    def column(self, x: int, top: int, bottom: int, series: int) -> None:
        """All dots of one column between two heights, both included."""
        for y in range(min(top, bottom), max(top, bottom) + 1):
            self.dot(x, y, series)

    def line(self, start: tuple[int, int], end: tuple[int, int], series: int, dash: int = 0) -> None:
        """Dots from one to another, both included; with `dash`, only every second stretch of so many columns."""
        length = max(abs(end[0] - start[0]), abs(end[1] - start[1]), 1)
        for part in range(length + 1):
            x = start[0] + (end[0] - start[0]) * part / length
            y = start[1] + (end[1] - start[1]) * part / length
            if not (dash and round(x) // dash % 2):
                self.dot(round(x), round(y), series)

    def row(self, row: int, letters: str = "") -> list[tuple[str, int | None]]:
        """Runs of characters of a row with the series each belongs to (None for blanks).

        With `letters` a cell is the letter of its series, for terminals that have no braille.
        """
        cells = zip(self._bits[row], self._series[row], strict=True)
        runs: list[tuple[str, int | None]] = []
        for series, run in groupby(cells, key=lambda cell: cell[1]):
            if series is None:
                runs.append((" " * len(list(run)), None))
            elif letters:
                runs.append((letters[series] * len(list(run)), series))
            else:
                runs.append(("".join(chr(0x2800 + bits) for bits, _ in run), series))
        return runs


def has_braille(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether the terminal shows braille: its locale must be UTF-8, and the console of Linux itself has no such letters."""
    locale = next((environment[name] for name in ("LC_ALL", "LC_CTYPE", "LANG") if environment.get(name)), "UTF-8")
    encoding = locale.partition(".")[2].partition("@")[0] or locale
    return encoding.lower().replace("-", "") == "utf8" and environment.get("TERM") not in ("linux", "dumb")
