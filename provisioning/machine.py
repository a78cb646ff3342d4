"""Jobs as the machine that runs them sees them: a folder each, launched once, alive as long as a lock is held.

Standard library only: `LocalTarget` calls these functions, the SSH target copies this file and those it imports to the other machine and
runs `python -m provisioning.machine VERB` there, a JSON request on stdin, the JSON answer on stdout.

Whoever launches a job takes the lock of its folder and hands it down to the wrapper, which holds it until it ends. So there is no moment in
which a running job looks dead or could be launched again, a pid given away again means nothing, and a crash needs no cleaning up.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from provisioning import facts, store, wrapper

ANSWER = "calmtune-answer:"
"""Begins the line with the answer; a login shell's start-up files may print lines of their own before it."""
_LAUNCHED: list[subprocess.Popen[bytes]] = []
"""Wrappers launched by this process, so that they are reaped when they end."""


class Refused(Exception):
    """A request that cannot be met; a sentence."""


# Jobs


def launch(folder: Path, body: dict[str, Any], secrets: dict[str, str], lay_out: Callable[[Path], None]) -> bool:
    """Launch the job of a folder; False when it runs or has succeeded and is adopted instead.

    `body` becomes job.json, `lay_out` puts the job's files into the folder. Raises OSError, and Refused when processes of an earlier
    run cannot be ended.
    """
    _reap()
    folder.mkdir(parents=True, exist_ok=True)
    with _claimed(folder / "lock") as lock:
        if lock is None or (_json(folder / "exit.json") or {}).get("state") == "succeeded":
            return False
        _end_orphans(folder)
        for name in ("exit.json", "child.json", "wrapper.json"):
            (folder / name).unlink(missing_ok=True)
        lay_out(folder)
        (folder / "events.jsonl").touch()
        wrapper.write_json(folder / "job.json", body)
        with open(folder / "wrapper.log", "ab") as log:
            child = subprocess.Popen(
                [sys.executable, wrapper.__file__, str(folder), str(lock)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **secrets},
                start_new_session=True,
                pass_fds=(lock,),
            )
        _LAUNCHED.append(child)
    return True


def status(folder: Path) -> dict[str, Any] | None:
    """{"state", "exit_code", "detail", "nodes"} of a folder's job; None when it holds none."""
    _reap()
    job = _json(folder / "job.json")
    if job is None:
        return None
    return {**_state(folder), "nodes": int(job.get("nodes", 1))}


def _state(folder: Path) -> dict[str, Any]:
    alive = _held(folder / "lock")
    ended = _json(folder / "exit.json")  # read after looking at the lock: it is written before the lock is let go
    if ended is not None:
        detail = "" if ended["state"] == "succeeded" else last_words(folder)
        return {"state": ended["state"], "exit_code": ended["exit_code"], "detail": detail}
    if alive:
        return {"state": "running", "exit_code": None, "detail": ""}
    return {"state": "interrupted", "exit_code": None, "detail": last_words(folder)}


def cancel(folder: Path) -> None:
    """End the job's processes: terminate, then kill after a grace period. Idempotent."""
    if _held(folder / "lock"):
        _signal_wrapper(folder, signal.SIGTERM)
        if not _wait_until_free(folder / "lock", wrapper.GRACE_SECONDS + 10):
            _signal_wrapper(folder, signal.SIGKILL)
            _wait_until_free(folder / "lock", 10)
    elif not _held(folder / "child.lock"):
        return
    _end_orphans(folder)
    if not (folder / "exit.json").exists():  # stopped before it could say so itself
        wrapper.write_json(folder / "exit.json", {"state": "stopped", "exit_code": None})


def list_jobs(root: Path) -> dict[str, dict[str, Any]]:
    """Status of every job below a folder, by name."""
    folders = sorted(root.iterdir()) if root.is_dir() else []
    return {folder.name: found for folder in folders if (found := status(folder)) is not None}


def last_words(folder: Path) -> str:
    """The last line of the job's log that says something, else of its wrapper's."""
    for name in ("log.txt", "wrapper.log"):
        path = folder / name
        if not path.exists():
            continue
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 4000))
            lines = [line.strip() for line in file.read().decode(errors="replace").splitlines() if line.strip()]
        if lines:
            return lines[-1][:300]
    return ""


def _end_orphans(folder: Path) -> None:
    """Kill what a wrapper that was killed itself has left behind; two runs of one job must never overlap."""
    if not _held(folder / "child.lock"):
        return
    child = _json(folder / "child.json")
    if child is not None:
        wrapper.signal_group(child["pid"], signal.SIGKILL)
    if not _wait_until_free(folder / "child.lock", 10):
        raise Refused(f"processes of an earlier run of {folder.name} are still there and cannot be ended")


def _signal_wrapper(folder: Path, number: int) -> None:
    deadline = time.monotonic() + 5
    while (body := _json(folder / "wrapper.json")) is None and time.monotonic() < deadline:
        time.sleep(0.02)  # launched this very moment; it writes its pid first
    if body is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(body["pid"], number)


# Locks


@contextlib.contextmanager
def _claimed(path: Path) -> Iterator[int | None]:
    """The lock of a file, or None when someone holds it. Handed down to a child, it outlives this block."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        for attempt in range(5):  # someone who only looks holds it for a moment
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if attempt == 4:
                    yield None
                    return
                time.sleep(0.02)
            else:
                break
        yield descriptor
    finally:
        os.close(descriptor)


def _held(path: Path) -> bool:
    """Whether a process holds the lock of a file."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _wait_until_free(path: Path, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while _held(path):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    _reap()
    return True


def _reap() -> None:
    _LAUNCHED[:] = [child for child in _LAUNCHED if child.poll() is None]


def _json(path: Path) -> dict[str, Any] | None:
    try:
        body: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return body


# What a client asks over SSH


def launch_request(folder: Path, request: dict[str, Any]) -> bool:
    """Launch the job of a request that names stored files by their contents; see `launch`."""
    files = Path(request["root"]) / "files"
    return launch(folder, request["body"], request["secrets"], lambda to: store.place(to, files, request["files"]))


def answer(verb: str, request: dict[str, Any]) -> Any:
    """Meet one request. Raises Refused with a sentence, OSError when the disk says no."""
    root, files = Path(request["root"]) / "jobs", Path(request["root"]) / "files"
    folder = root / request.get("id", "")
    if verb == "launch":
        return launch_request(folder, request)
    if verb == "hand_over":
        from provisioning import holder

        folder.mkdir(parents=True, exist_ok=True)
        return holder.hand_over(folder, request, request["seconds"])
    if verb == "status":
        return status(folder)
    if verb == "cancel":
        return cancel(folder)
    if verb == "list":
        return list_jobs(folder)
    if verb == "stored":
        return store.stored(files, request["wanted"])
    if verb == "keep":
        return store.keep(files, request["name"])
    if verb == "checksums":
        return store.checksums(folder, request["path"], files)
    if verb == "free_port":
        return free_port()
    if verb == "facts":
        return facts.facts(root)
    raise Refused(f"{verb} is not known here")


def free_port() -> int:
    """A port on loopback that nothing listens on at this moment."""
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def main() -> int:
    request = json.load(sys.stdin)
    try:
        body = {"answer": answer(sys.argv[1], request)}
    except Refused as refusal:
        body = {"refused": str(refusal)}
    except OSError as error:
        body = {"refused": f"{error.strerror or error}{f' ({error.filename})' if error.filename else ''}"}
    print(ANSWER + json.dumps(body), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
