"""An export to a folder, on this machine or a mounted disk; needs nothing but Python."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import BinaryIO

from core.errors import StepFailed
from core.serving.export.store import PIECE, Told, tops

_PART = ".calmtune-part"
"""End of the name of a file that is not whole yet."""


class FolderStore:
    """A folder. A file grows beside its place and is renamed when it is whole; what was begun is continued as far as it is equal."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def place(self) -> str:
        return str(self._folder)

    def size(self, name: str) -> int | None:
        path = self._folder / name
        return path.stat().st_size if path.is_file() else None

    def read(self, name: str) -> Iterator[bytes]:
        with self._refusals(name), (self._folder / name).open("rb") as file:
            while piece := file.read(PIECE):
                yield piece

    def send(self, name: str, source: Path, told: Told) -> int:
        path = self._folder / name
        part = path.with_name(f".{path.name}{_PART}")
        with self._refusals(name):
            path.parent.mkdir(parents=True, exist_ok=True)
            with source.open("rb") as file, part.open("r+b" if part.exists() else "w+b") as target:
                begun = _equal(file, target)
                for stream in (file, target):
                    stream.seek(begun)
                target.truncate()
                while piece := file.read(PIECE):
                    target.write(piece)
                    told(target.tell())
                target.flush()
                os.fsync(target.fileno())
                size = target.tell()
            os.replace(part, path)
        return size - begun

    def remove(self, name: str) -> None:
        with self._refusals(name):
            (self._folder / name).unlink(missing_ok=True)

    def settle(self, names: Collection[str]) -> None:
        for top in tops(names):
            with self._refusals(top):
                for part in (*self._folder.glob(f".{top}{_PART}"), *(self._folder / top).rglob(f".*{_PART}")):
                    part.unlink()

    @contextlib.contextmanager
    def _refusals(self, name: str) -> Iterator[None]:
        """Raises StepFailed for what the disk refuses."""
        try:
            yield
        except OSError as error:
            why = error.strerror or error
            raise StepFailed(
                f"{self._folder / name} cannot be written or read: {why}; what is there is kept, and the same export goes on"
            ) from error


def _equal(one: BinaryIO, other: BinaryIO) -> int:
    """How many bytes both begin with alike, in whole pieces but for the last."""
    same = 0
    while (piece := other.read(PIECE)) and piece == one.read(len(piece)):
        same += len(piece)
    return same
