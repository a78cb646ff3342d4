"""A canvas of braille cells: 2 × 4 dots a character, one colour a cell, the last series drawn wins it."""

from __future__ import annotations

_DOT_BITS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
_ASCII_FROM_TOP = "'-_."


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

    def row(self, row: int, ascii_only: bool = False) -> list[tuple[str, int | None]]:
        """The characters of a row with the series each belongs to (None for blanks)."""
        cells: list[tuple[str, int | None]] = []
        for bits, series in zip(self._bits[row], self._series[row], strict=True):
            if not bits:
                cells.append((" ", None))
            elif ascii_only:
                line = next(line for line, pair in enumerate(_DOT_BITS) if bits & (pair[0] | pair[1]))
                cells.append((_ASCII_FROM_TOP[line], series))
            else:
                cells.append((chr(0x2800 + bits), series))
        return cells
