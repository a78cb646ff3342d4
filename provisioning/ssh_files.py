"""Files to and from a machine: by content, resumed where a cut left off, believed only when the checksum is right."""

from __future__ import annotations

import os
import posixpath
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from core.errors import ProviderError, StepFailed
from provisioning.ssh_link import Connection
from provisioning.ssh_machine import RemoteMachine, make_folders, refusals
from provisioning.store import sha256

_PIECE = 1 << 18
_SPARE_BYTES = 100_000_000
"""Disk that must stay free after an upload."""


def upload(machine: RemoteMachine, files: Mapping[str, Path]) -> dict[str, str]:
    """Send files and folders to the machine's store; SHA-256 by their names in the job's folder.

    What is there already is not sent again, what was begun is continued. Raises StepFailed when the disk there is too small.
    """
    contents = {name: sha256(path) for name, path in _spread(files).items()}
    sources = {contents[name]: path for name, path in _spread(files).items()}
    here = machine.ask("stored", wanted=sorted(sources))
    missing = {digest: path for digest, path in sources.items() if digest not in here["whole"]}
    needed = sum(path.stat().st_size - here["parts"].get(digest, 0) for digest, path in missing.items())
    if needed and needed + _SPARE_BYTES > here["free"]:
        raise StepFailed(
            f"{machine.link.host} has {here['free'] / 1e9:.1f} GB of disk left for {machine.root}, {needed / 1e9:.1f} GB are needed"
        )
    for digest, path in missing.items():
        _send(machine, digest, path)
    return contents


def _send(machine: RemoteMachine, digest: str, path: Path) -> None:
    remote = posixpath.join(machine.root, "files", digest)
    for _ in range(2):
        machine.link.call(lambda link: _append(link, path, f"{remote}.part", machine))
        if machine.ask("keep", long=True, name=digest):
            return
        # What lay there from before was something else; it is gone now and everything is sent anew.
    if sha256(path) != digest:
        raise StepFailed(f"{path} changed while it was sent to {machine.link.host}; try again")
    raise ProviderError(f"{path} arrives damaged at {machine.link.host}; check its disk and try again")


def _append(link: Connection, path: Path, remote: str, machine: RemoteMachine) -> None:
    """Send the rest of a file that the machine has a beginning of."""
    with refusals(link, f"{path.name} cannot be stored on {machine.link.host} in {machine.root} (is its disk full?)"):
        make_folders(link, posixpath.dirname(remote))
        begun = _size(link, remote)
        goes_on = begun <= path.stat().st_size
        with path.open("rb") as source, link.sftp.open(remote, "ab" if goes_on else "wb") as target:
            target.set_pipelined(True)
            source.seek(begun if goes_on else 0)
            while piece := source.read(_PIECE):
                target.write(piece)
        if (
            _size(link, remote) < path.stat().st_size
        ):  # writes are not waited for one by one, so a refused one shows here
            raise OSError("not all of it could be written")


def _size(link: Connection, remote: str) -> int:
    try:
        return link.sftp.stat(remote).st_size or 0
    except FileNotFoundError:
        return 0


def download(machine: RemoteMachine, id: str, paths: Sequence[str], into: Path) -> None:
    """Bring files or folders of a job here; what is here with the right content is not sent. Raises StepFailed for what is missing."""
    for path in paths:
        wanted: dict[str, str] | None = machine.ask("checksums", long=True, id=id, path=path)
        if wanted is None:
            raise StepFailed(f"job {id} left no {path} on {machine.link.host}")
        for name, digest in wanted.items():
            _receive(machine, posixpath.join(machine.root, "jobs", id, name), into / name, digest)
        _drop_others(into / path, {into / name for name in wanted})


def _receive(machine: RemoteMachine, remote: str, place: Path, digest: str) -> None:
    if place.is_file() and sha256(place) == digest:
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    part = place.with_name(f".{place.name}.part")
    for _ in range(2):
        machine.link.call(lambda link: _read_on(link, remote, part))
        if sha256(part) == digest:
            os.replace(part, place)
            return
        part.unlink()  # begun with another content; once more from the start
    raise ProviderError(f"{posixpath.basename(remote)} arrives damaged from {machine.link.host}; try again")


def _read_on(link: Connection, remote: str, part: Path) -> None:
    with part.open("ab") as target, link.sftp.open(remote, "rb") as source:
        size = source.stat().st_size or 0
        if target.tell() > size:
            target.truncate(0)
        begun = target.tell()
        source.seek(begun)
        source.prefetch(size, max_concurrent_requests=64)
        while piece := source.read(_PIECE):
            target.write(piece)


def _drop_others(path: Path, wanted: set[Path]) -> None:
    """Remove what an earlier fetch left in a folder that the job's folder does not have."""
    if path.is_dir():
        for other in path.rglob("*"):
            if other.is_file() and other not in wanted:
                other.unlink()
        for folder in sorted((one for one in path.rglob("*") if one.is_dir()), reverse=True):
            if not any(folder.iterdir()):
                shutil.rmtree(folder)


def _spread(files: Mapping[str, Path]) -> dict[str, Path]:
    """Every single file by its name in the job's folder."""
    found: dict[str, Path] = {}
    for name, path in files.items():
        if path.is_dir():
            found |= {
                posixpath.join(name, one.relative_to(path).as_posix()): one
                for one in sorted(path.rglob("*"))
                if one.is_file()
            }
        else:
            found[name] = path
    return found
