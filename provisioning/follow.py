"""Following an append-only file by byte offset: whole lines, no gaps, no duplicates."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from provisioning.target import Chunk

Read = Callable[[int], bytes]
"""read(offset) → the bytes from there on, b"" when there are none."""
SECONDS_BETWEEN_LOOKS = 0.2


def follow(
    read: Read, ended: Callable[[], bool], offset: int = 0, sleep: Callable[[float], None] = time.sleep
) -> Iterator[Chunk]:
    """Chunks of whole lines until the job has ended and everything is read; an unfinished last line comes at the end.

    An empty chunk comes with each look that finds nothing new, so that the caller may stop following.
    """
    while True:
        last = ended()  # asked before reading, so that nothing written before the end is missed
        data = read(offset)
        complete = data if last else data[: data.rfind(b"\n") + 1]
        if complete:
            offset += len(complete)
            yield Chunk(complete, offset)
        elif last:
            return
        else:
            yield Chunk(b"", offset)
            sleep(SECONDS_BETWEEN_LOOKS)
