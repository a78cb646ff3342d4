"""Where something stands in a file."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Lines:
    """A range of lines in a file, both ends included, counted from 1."""

    file: str
    first: int
    last: int
