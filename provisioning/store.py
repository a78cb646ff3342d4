"""Files by content on the machine that runs jobs: sent once, then linked into every job that needs them. Standard library only."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from pathlib import Path
from typing import Any

WRITTEN = ("events.jsonl", "checkpoints")
"""File and folder that a job goes on with: it writes to them."""


def stored(store: Path, wanted: list[str]) -> dict[str, Any]:
    """Which contents are here: {"whole": [sha256], "parts": {sha256: bytes}, "free": bytes of disk left}."""
    store.mkdir(parents=True, exist_ok=True)
    whole = [name for name in wanted if (store / name).is_file()]
    parts = {name: (store / f"{name}.part").stat().st_size for name in wanted if (store / f"{name}.part").is_file()}
    return {"whole": whole, "parts": parts, "free": shutil.disk_usage(store).free}


def keep(store: Path, name: str) -> bool:
    """Take a sent file into the store if its content is what its name says; else drop it and say False."""
    part = store / f"{name}.part"
    if not part.is_file():
        return (store / name).is_file()
    if sha256(part) != name:
        part.unlink()
        return False
    part.chmod(0o444)
    os.replace(part, store / name)
    return True


def checksums(folder: Path, path: str, store: Path) -> dict[str, str] | None:
    """SHA-256 by relative path of a file or of all files of a folder; None when it is not there.

    What is large is linked into the store as well: a model trained here need not be sent back to be served here.
    """
    start = folder / path
    if not start.exists():
        return None
    files = [start] if start.is_file() else [file for file in sorted(start.rglob("*")) if file.is_file()]
    found = {file.relative_to(folder).as_posix(): sha256(file) for file in files}
    for name, digest in found.items():
        if (folder / name).stat().st_size > 1_000_000 and not (store / digest).exists():
            store.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(OSError):
                os.link(folder / name, store / digest)
    return found


def place(folder: Path, store: Path, files: dict[str, str]) -> None:
    """Put stored contents into a job's folder under their names: links where the file system has them, of what jobs only read."""
    for name, digest in files.items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        if name.partition("/")[0] not in WRITTEN:
            with contextlib.suppress(OSError):
                os.link(store / digest, target)
                continue
        shutil.copyfile(store / digest, target)


def sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()
