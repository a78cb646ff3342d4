"""The program every job runs under, on any machine. Standard library only: it is copied to other machines.

    python wrapper.py <folder> <lock>     with <folder>/job.json = {"command", "limit_seconds", "environment", "gpus"}

Starts the command in a process group of its own, collects what it prints in log.txt, enforces the wall-clock limit, hands SIGTERM on
and kills after a grace period, and writes exit.json last, atomically. Jobs append their events to events.jsonl themselves (its path is in
CALMTUNE_EVENTS). Secrets arrive in the environment, never in job.json. <lock> is the descriptor of the folder's lock, held from before
this program began until it ends; the command holds a lock of its own, so that what a killed wrapper leaves behind can be told.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any

GRACE_SECONDS = 20.0


def main(folder: Path, lock: int) -> int:
    stopping: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:
        stopping.append(number)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    os.set_inheritable(lock, False)
    os.chdir(folder)
    write_json(Path("wrapper.json"), {"pid": os.getpid()})
    job = json.loads(Path("job.json").read_text(encoding="utf-8"))
    environment = {**os.environ, **job.get("environment", {}), "CALMTUNE_EVENTS": str(folder / "events.jsonl")}
    environment.setdefault("PYTHONUNBUFFERED", "1")
    gpus = int(job.get("gpus", 0))
    if gpus:
        environment["CALMTUNE_GPUS"] = str(gpus)
        if (found := _count_gpus()) < gpus:
            return _refuse(
                f"this job needs {gpus} GPU{'s' * (gpus > 1)}, nvidia-smi shows {found}; nothing was run", 78
            )
    try:
        with open("log.txt", "ab") as log, open("child.lock", "wb") as child_lock:
            fcntl.flock(child_lock, fcntl.LOCK_EX)
            child = subprocess.Popen(
                job["command"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                start_new_session=True,
                pass_fds=(child_lock.fileno(),),
            )
            write_json(Path("child.json"), {"pid": child.pid})
    except OSError as error:
        return _refuse(f"{job['command'][0]} cannot be started: {error.strerror}", 127)
    deadline = time.monotonic() + float(job["limit_seconds"])
    state = ""
    while child.poll() is None:
        if stopping or time.monotonic() > deadline:
            state = "stopped" if stopping else "timed_out"
            _end(child)
            break
        time.sleep(0.05)
    code = child.wait()
    write_json(Path("exit.json"), {"state": state or ("succeeded" if code == 0 else "failed"), "exit_code": code})
    return code


def _refuse(sentence: str, code: int) -> int:
    with open("log.txt", "a", encoding="utf-8") as log:
        log.write(sentence + "\n")
    write_json(Path("exit.json"), {"state": "failed", "exit_code": code})
    return code


def _count_gpus() -> int:
    if shutil.which("nvidia-smi") is None:
        return 0
    done = subprocess.run(["nvidia-smi", "-L"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
    return sum(line.startswith(b"GPU ") for line in done.stdout.splitlines())


def _end(child: subprocess.Popen[bytes]) -> None:
    """Ask the whole group to stop, then make it."""
    signal_group(child.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(timeout=float(os.environ.get("CALMTUNE_GRACE_SECONDS", GRACE_SECONDS)))
    signal_group(child.pid, signal.SIGKILL)


def signal_group(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def write_json(path: Path, body: dict[str, Any]) -> None:
    """A file that is whole or not there."""
    partial = path.with_name(f".{path.name}.new")
    with partial.open("w", encoding="utf-8") as file:
        json.dump(body, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).resolve(), int(sys.argv[2])) & 0xFF)
