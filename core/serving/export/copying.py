"""Copying files to a place so that a reader can tell a whole copy: their checksums are written last, after all was read back."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

from core.errors import ProviderError, StepFailed, UsageError
from core.serving.export.store import Store
from core.training.checksums import checksum

SUMS = "SHA256SUMS"
"""There when the export is whole. `sha256sum --check SHA256SUMS` beside what was fetched checks all of it."""
MARK = ".calmtune-export"
"""Names of all that exports have put into this place, one a line: what has none of these is not ours to overwrite or remove."""
Tell = Callable[[str, int, int], None]
"""tell("sending", bytes done, bytes of all). What it raises ends the export, which goes on from there the next time."""


@dataclass(frozen=True)
class Exported:
    """A whole export."""

    place: str
    files: int
    """Without SHA256SUMS."""
    bytes: int
    sent_files: int
    """Those that were not there yet."""
    sent_bytes: int
    """What had to travel this time, without what an interrupted export had sent."""


@dataclass(frozen=True)
class _File:
    source: Path
    size: int
    sha256: str


_Files = Mapping[str, _File]


def export(
    files: Mapping[str, Path],
    store: Store,
    tell: Tell = lambda what, done, total: None,
    known: Mapping[str, str] | None = None,
) -> Exported:
    """Copy files and folders under their names. What is there and equal, read and compared by SHA-256, is not sent again.

    `known` are checksums of files that were just compared with them. Every file is read back a piece at a time, and one that differs is
    sent once more. An older export in the place loses its SHA256SUMS first, and the files that only it had. Raises UsageError where
    other files would be overwritten, ProviderError for a file that differs again, StepFailed when one here changed meanwhile, and
    what the store raises.
    """
    wanted = {name: _described(path, (known or {}).get(name)) for name, path in _spread(files)}
    sums = "".join(f"{file.sha256}  {name}\n" for name, file in sorted(wanted.items()))
    there = {name: size for name in wanted if (size := store.size(name)) is not None}
    missing = {name: file for name, file in wanted.items() if there.get(name) != file.size}
    missing |= _differing(store, {name: file for name, file in wanted.items() if name not in missing}, "comparing", tell)
    _make_room(store, wanted.keys(), there.keys() & missing.keys(), sums)
    sent = _send(store, missing, "sending", tell)
    store.settle(wanted)
    damaged = _differing(store, missing, "reading back", tell)
    if damaged:
        sent += _send(store, damaged, "sending again", tell)
        for name, file in _differing(store, damaged, "reading back again", tell).items():
            if checksum(file.source) != file.sha256:
                raise StepFailed(f"{file.source} changed while it was exported; export again")
            raise ProviderError(f"{name} arrives damaged in {store.place}, twice; nothing there can be relied on, export to another place")
    if _text(store, SUMS) != sums:
        _put(store, SUMS, sums)
        if _text(store, SUMS) != sums:
            raise ProviderError(f"{SUMS} arrives damaged in {store.place}; export again")
    return Exported(store.place, len(wanted), sum(file.size for file in wanted.values()), len(missing), sent)


def _described(path: Path, sha256: str | None) -> _File:
    return _File(path, path.stat().st_size, sha256 or checksum(path))


def _spread(files: Mapping[str, Path]) -> Iterator[tuple[str, Path]]:
    """Every single file under its name in the place."""
    for name, path in files.items():
        if path.is_dir():
            for one in sorted(path.rglob("*")):
                if one.is_file():
                    yield f"{name}/{one.relative_to(path).as_posix()}", one
        else:
            yield name, path


def _differing(store: Store, files: _Files, what: str, tell: Tell) -> dict[str, _File]:
    """Those whose content in the store is another."""
    total, done, found = sum(file.size for file in files.values()), 0, {}
    for name, file in files.items():
        digest = hashlib.sha256()
        for piece in store.read(name):
            digest.update(piece)
            done += len(piece)
            tell(what, done, total)
        if digest.hexdigest() != file.sha256:
            found[name] = file
    return found


def _send(store: Store, files: _Files, what: str, tell: Tell) -> int:
    """Send them one after the other; bytes that had to travel."""
    total, done, sent = sum(file.size for file in files.values()), 0, 0
    for name, file in files.items():
        sent += store.send(name, file.source, partial(_tell_of_one, tell, what, done, total))
        done += file.size
    return sent


def _tell_of_one(tell: Tell, what: str, before: int, total: int, done: int) -> None:
    tell(what, before + done, total)


def _make_room(store: Store, wanted: Collection[str], others: Collection[str], sums: str) -> None:
    """Mark the place as that of an export and end the older one; `others` are files there under our names with other content."""
    listed = _text(store, MARK)
    earlier = {name for name in (listed or "").splitlines() if _is_within(name)}
    present = _text(store, SUMS)
    foreign = sorted(others) or ([SUMS] if present not in (None, sums) else [])
    if listed is None and foreign:
        raise UsageError(f"{store.place} has a {foreign[0]} already, which no export wrote; name an empty place")
    if present not in (None, sums):
        store.remove(SUMS)
    if not earlier >= set(wanted):
        _put(store, MARK, "\n".join(sorted(earlier | set(wanted))) + "\n")
    if gone := earlier - set(wanted):
        for name in sorted(gone):
            store.remove(name)
        _put(store, MARK, "\n".join(sorted(wanted)) + "\n")


def _is_within(name: str) -> bool:
    """Whether a name leads to something in the place itself."""
    path = PurePosixPath(name)
    return bool(path.parts) and not path.is_absolute() and ".." not in path.parts


def _text(store: Store, name: str) -> str | None:
    """A small file of the store; None when there is none."""
    if store.size(name) is None:
        return None
    return b"".join(store.read(name)).decode(errors="replace")


def _put(store: Store, name: str, text: str) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "text"
        path.write_text(text, encoding="utf-8")
        store.send(name, path, lambda done: None)
