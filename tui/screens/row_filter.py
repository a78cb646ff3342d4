"""Which rows the review shows: a view of them, what they teach, words they hold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from core.dataset.rows import Row
from core.wizard.row_review import RowReview

VIEWS = {
    "rows": "all rows",
    "train": "rows to train on",
    "validation": "rows to validate on",
    "left out": "rows left out",
    "rejected": "rejected wordings",
    "decided": "decided by hand",
}
"""View → its name."""


@dataclass(frozen=True)
class Wanted:
    """What is looked for."""

    view: str = "rows"
    about: str = ""
    """A flow, command or slot as the rows hold it, such as "flow book_bed"; "" for all."""
    words: str = ""
    """Each must be in message, commands or name of the test."""


class RowFilter:
    """Finds rows among those of a review; what is searched is prepared once."""

    def __init__(self, review: RowReview) -> None:
        self._review = review
        self._texts = [_text(row) for row in review.rows]
        self._counts = {view: len(self.found(Wanted(view))) for view in VIEWS}

    def found(self, wanted: Wanted) -> list[Row]:
        words = wanted.words.casefold().split()
        return [
            row
            for row, text in zip(self._review.rows, self._texts, strict=True)
            if (not wanted.about or wanted.about in row.holds)
            and all(word in text for word in words)
            and self._in_view(row, wanted.view)
        ]

    def _in_view(self, row: Row, view: str) -> bool:
        if view == "decided":
            return self._review.mark(row) is not None
        if view == "rejected":
            return row.reason is not None
        return row.reason is None and view in ("rows", row.side)

    def views(self) -> list[tuple[str, int]]:
        """Views with how many rows each has; empty ones only where they always belong."""
        self._counts["decided"] = sum(self._review.mark(row) is not None for row in self._review.rows)  # the rest stays
        return [
            (view, count) for view, count in self._counts.items() if count or view in ("rows", "rejected", "decided")
        ]

    def things(self) -> list[tuple[str, int]]:
        """What rows teach, with how many do."""
        return sorted(Counter(name for row in self._review.rows for name in row.holds).items())


def position(rows: Sequence[Row], row: Row | None) -> int:
    """Where a row stands among others; 0 when it does not."""
    return next((at for at, other in enumerate(rows) if row is not None and other.number == row.number), 0)


def _text(row: Row) -> str:
    return "\n".join((row.wording, row.original, *row.commands, row.test, row.number)).casefold()
