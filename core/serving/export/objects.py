"""An export to an object store, through fsspec's file systems: what is the same in all of them, and what Google's and Azure's want."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from core.serving.export.place import Place
from core.serving.export.refusals import refusals
from core.serving.export.store import PIECE, Told, in_order


class ObjectStore(ABC):
    """A prefix in a bucket."""

    def __init__(self, place: Place, files: Any) -> None:
        """`files` is the bucket's fsspec file system."""
        self._place, self._files = place, files

    @property
    def place(self) -> str:
        return str(self._place)

    def size(self, name: str) -> int | None:
        with self._refusals(name):
            try:
                found = self._files.info(self._path(name))
            except FileNotFoundError:
                return None
            return int(found["size"]) if found["type"] == "file" else None

    def read(self, name: str) -> Iterator[bytes]:
        path, size = self._path(name), self.size(name) or 0
        with self._refusals(name):
            yield from in_order(
                lambda start: self._files.cat_file(path, start=start, end=min(start + PIECE, size)), range(0, size, PIECE)
            )

    def send(self, name: str, source: Path, told: Told) -> int:
        with self._refusals(name):
            return self._put(self._key(name), source, told)

    @abstractmethod
    def _put(self, key: str, source: Path, told: Told) -> int:
        """Send a file; bytes that had to travel."""

    def remove(self, name: str) -> None:
        if self.size(name) is not None:
            with self._refusals(name):
                self._files.rm_file(self._path(name))

    @abstractmethod
    def settle(self, names: Collection[str]) -> None:
        """See `Store`."""

    def _key(self, name: str) -> str:
        return f"{self._place.path}/{name}" if self._place.path else name

    def _path(self, name: str) -> str:
        return f"{self._place.bucket}/{self._key(name)}"

    def _refusals(self, name: str = "") -> AbstractContextManager[None]:
        return refusals(self._place, name)


class _WholeFiles(ObjectStore):
    """A store in which a file that was cut begins anew."""

    def settle(self, names: Collection[str]) -> None:
        """Nothing: what was cut is no object and cannot be listed, and the store drops it by itself after a week."""


class GoogleStore(_WholeFiles):
    """Google Cloud Storage: an upload is known by a secret address alone, which would have to be kept to go on with it."""

    def _put(self, key: str, source: Path, told: Told) -> int:
        from fsspec.callbacks import Callback

        heard = Callback(hooks={"told": lambda size, value, **_: told(value)})
        self._files.put_file(str(source), f"{self._place.bucket}/{key}", callback=heard, chunksize=4 * PIECE)  # one at a time
        return source.stat().st_size


class AzureStore(_WholeFiles):
    """Azure's containers: the client names the blocks that it stages at random, and another process does not know them."""

    def _put(self, key: str, source: Path, told: Told) -> int:
        async def hear(done: int, total: int | None) -> None:
            told(done)

        self._files.put_file(str(source), f"{self._place.bucket}/{key}", progress_hook=hear)
        return source.stat().st_size
