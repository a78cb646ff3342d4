"""What an export needs of a place to put files."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Protocol, TypeVar

S = TypeVar("S")
T = TypeVar("T")

PIECE = 1 << 23
"""Bytes read or sent at a time, 8 MiB as in AWS' own client: latency hardly counts, and a few of them fit any memory."""
AT_ONCE = 4
"""Pieces under way at a time; one connection alone does not fill a line to an object store."""
Told = Callable[[int], None]
"""Hears how many bytes of a file are there by now. What it raises ends the sending."""


class Store(Protocol):
    """Files by name, relative and with slashes. Everything raises CalmtuneError with a sentence for the person at the terminal."""

    @property
    def place(self) -> str:
        """Where it is, as a person writes it."""
        ...

    def size(self, name: str) -> int | None:
        """Bytes of a file; None when there is none."""
        ...

    def read(self, name: str) -> Iterator[bytes]:
        """Its content, a piece at a time."""
        ...

    def send(self, name: str, source: Path, told: Told) -> int:
        """Put a file there, whole or not at all under its name; bytes that had to travel, which an interrupted sending makes fewer."""
        ...

    def remove(self, name: str) -> None:
        """Take a file away, if it is there."""
        ...

    def settle(self, names: Collection[str]) -> None:
        """Drop what interrupted sendings left beside or under these names and nobody will finish."""
        ...


def in_order(work: Callable[[S], T], items: Iterable[S], at_once: int = AT_ONCE) -> Iterator[T]:
    """What `work` makes of each item, in order; so many are worked on at once and no more wait to be taken."""
    with ThreadPoolExecutor(at_once) as pool:
        waiting: deque[Future[T]] = deque()
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) == at_once:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def tops(names: Iterable[str]) -> set[str]:
    """The first part of each name: files and folders at the top of an export."""
    return {name.partition("/")[0] for name in names}
