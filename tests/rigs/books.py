"""What a rig of rented things knows, in a file that every process with it reads and writes, one after the other."""

from __future__ import annotations

import contextlib
import fcntl
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any


@contextlib.contextmanager
def open_books(folder: Path, name: str, empty: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """What NAME.json holds, `empty` where there is none; what is changed in it is written when the block is left, all or nothing."""
    path = folder / f"{name}.json"
    with (folder / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        books = json.loads(path.read_text()) if path.exists() else empty
        yield books
        path.with_suffix(".new").write_text(json.dumps(books))
        path.with_suffix(".new").rename(path)
