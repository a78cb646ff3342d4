"""The program every job runs under, on any machine. Standard library only: it is copied beside the job's files.

    python wrapper.py <folder>        with <folder>/job.json = {"command": [...], "limit_seconds": ..., "environment": {...}}

Starts the command in a process group of its own, collects what it prints in log.txt, enforces the wall-clock limit, hands SIGTERM on
and kills after a grace period, and writes exit.json last, atomically. Jobs append their events to events.jsonl themselves (its path is in
CALMTUNE_EVENTS). Secrets arrive in the environment, never in job.json.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any

GRACE_SECONDS = 20.0


def main(folder: Path) -> int:
    stopping: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:
        stopping.append(number)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    os.chdir(folder)
    job = json.loads(Path("job.json").read_text(encoding="utf-8"))
    environment = {**os.environ, **job.get("environment", {}), "CALMTUNE_EVENTS": str(folder / "events.jsonl")}
    environment.setdefault("PYTHONUNBUFFERED", "1")
    Path("events.jsonl").touch()
    try:
        with open("log.txt", "ab") as log:
            child = subprocess.Popen(
                job["command"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                start_new_session=True,
            )
    except OSError as error:
        with open("log.txt", "a", encoding="utf-8") as log_text:
            log_text.write(f"{job['command'][0]} cannot be started: {error.strerror}\n")
        write_exit(Path(), {"state": "failed", "exit_code": 127})
        return 127
    _write(Path("child.json"), {"pid": child.pid})
    deadline = time.monotonic() + float(job["limit_seconds"])
    state = ""
    while child.poll() is None:
        if stopping or time.monotonic() > deadline:
            state = "stopped" if stopping else "timed_out"
            _end(child)
            break
        time.sleep(0.05)
    code = child.wait()
    write_exit(Path(), {"state": state or ("succeeded" if code == 0 else "failed"), "exit_code": code})
    return code


def _end(child: subprocess.Popen[bytes]) -> None:
    """Ask the whole group to stop, then make it."""
    signal_group(child.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(timeout=float(os.environ.get("CALMTUNE_GRACE_SECONDS", GRACE_SECONDS)))
    signal_group(child.pid, signal.SIGKILL)


def signal_group(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def write_exit(folder: Path, body: dict[str, Any]) -> None:
    """The job's last word; whole or not there."""
    _write(folder / "exit.json", body)


def _write(path: Path, body: dict[str, Any]) -> None:
    partial = path.with_name(f".{path.name}.new")
    with partial.open("w", encoding="utf-8") as file:
        json.dump(body, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)


if __name__ == "__main__":
    sys.exit(min(main(Path(sys.argv[1]).resolve()) & 0xFF, 255))
