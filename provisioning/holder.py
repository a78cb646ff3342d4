"""Holds a scheduler's slot for a job: waits for the job to be handed over, launches it, and lasts as long as it. Standard library only.

    python -m provisioning.holder FOLDER

Where a scheduler gives out the machine (SkyPilot's queue, Slurm), only what it has started itself may use a GPU and counts as work, and
what it is given to start it writes down. So it is given this program, which knows no secrets; the job with its secrets comes over a socket
in the job's folder, from the one who is logged in on the same machine.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

from provisioning import machine

_SOCKET = "handover"
_PATIENCE_SECONDS = 900.0
"""How long a slot waits for its job: files may still be on their way."""
_LINGER_SECONDS = 900.0
"""Longer than nodes wait for one another."""
_SECONDS_BETWEEN_LOOKS = 0.5


def hand_over(folder: Path, request: dict[str, Any], seconds: float) -> bool | None:
    """Give a job to the holder that waits, or will wait within `seconds`, in a folder; what `machine.launch` says of it, None when no
    holder comes. Raises machine.Refused when the job cannot be launched."""
    deadline = time.monotonic() + seconds
    while True:
        with socket.socket(socket.AF_UNIX) as link, _inside(folder):
            try:
                link.connect(_SOCKET)
                link.sendall(json.dumps(request).encode())
                link.shutdown(socket.SHUT_WR)
                said = _said(link)
            except (FileNotFoundError, ConnectionError):  # no holder yet, or it has just taken the job from another client
                if _begun(Path.cwd()):
                    return False  # another client was first
                if time.monotonic() > deadline:
                    return None
            else:
                answer = json.loads(said or b'{"refused": "the scheduler ended the job before it began"}')
                if "refused" in answer:
                    raise machine.Refused(answer["refused"])
                return bool(answer["launched"])
        time.sleep(_SECONDS_BETWEEN_LOOKS)


def hold(folder: Path, patience: float = _PATIENCE_SECONDS, linger: float = _LINGER_SECONDS) -> int:
    """Wait for a job, launch it, tell what it prints, and return its exit code when it has ended; on a further node of a job on several
    one that failed `linger` seconds later. A slot whose job has another one ends at once."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        if not _take_over(folder, patience):
            print("the job has another slot", flush=True)
            return 0
    except TimeoutError:
        print(f"no job was handed over within {patience:.0f} s", flush=True)
        return 1
    try:
        code = _last(folder)
    finally:
        machine.cancel(folder)
    if code and os.environ.get("SKYPILOT_NODE_RANK", "0") != "0":
        time.sleep(linger)  # the scheduler ends all nodes at once for one that fails: the first is to say itself what it lacks
    return code


def _take_over(folder: Path, patience: float) -> bool:
    """Take one job over the socket and launch it; False when it runs or has succeeded elsewhere. Raises TimeoutError when none comes."""
    link = _client(folder, patience)
    if link is None:
        return False
    launched = True  # also where it cannot be: there is no other
    with link:
        link.settimeout(patience)
        request = json.loads(_said(link))
        try:
            launched = machine.launch_request(folder, request)
            answer: dict[str, Any] = {"launched": launched}
        except (machine.Refused, OSError) as error:
            answer = {"refused": str(error)}
        link.sendall(json.dumps(answer).encode())
    return launched


def _client(folder: Path, patience: float) -> socket.socket | None:
    """Whoever comes to hand over a job; None once it has begun elsewhere: several may have asked for a slot for it at the same time."""
    deadline = time.monotonic() + patience
    with socket.socket(socket.AF_UNIX) as listener:
        with _inside(folder):
            Path(_SOCKET).unlink(missing_ok=True)
            listener.bind(_SOCKET)
        mine = os.stat(folder / _SOCKET).st_ino
        try:
            os.chmod(folder / _SOCKET, 0o600)
            listener.listen()
            listener.settimeout(min(patience, _SECONDS_BETWEEN_LOOKS))
            while not _begun(folder):
                with contextlib.suppress(TimeoutError):
                    return listener.accept()[0]
                if time.monotonic() > deadline:
                    raise TimeoutError
            return None
        finally:
            with contextlib.suppress(FileNotFoundError):
                if os.stat(folder / _SOCKET).st_ino == mine:  # else it is another slot's
                    (folder / _SOCKET).unlink()  # one job a holder


def _begun(folder: Path) -> bool:
    found = machine.status(folder)
    return found is not None and found["state"] in ("running", "succeeded")


def _last(folder: Path) -> int:
    """Print the job's log as it grows until the job has ended; its exit code."""
    printed = 0
    while True:
        found = machine.status(folder)
        with contextlib.suppress(FileNotFoundError), (folder / "log.txt").open("rb") as log:
            log.seek(printed)
            new = log.read()
            printed += len(new)
            sys.stdout.buffer.write(new)
            sys.stdout.flush()
        if found is None or found["state"] != "running":
            return int(found["exit_code"] or 0) & 0xFF if found and found["state"] == "succeeded" else 1
        time.sleep(_SECONDS_BETWEEN_LOOKS)


def _said(link: socket.socket) -> bytes:
    """All that the other side says until it is done."""
    with link.makefile("rb") as stream:
        return stream.read()


@contextlib.contextmanager
def _inside(folder: Path) -> Iterator[None]:
    """Work in a folder: the path of a socket may have a hundred characters only."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def _stop(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _stop)
    sys.exit(hold(Path(sys.argv[1])))
