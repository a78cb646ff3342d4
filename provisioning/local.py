"""Jobs on this machine: a folder and a detached process each, found again by name after anything."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import psutil

from core.errors import StepFailed, UsageError
from provisioning import wrapper
from provisioning.follow import follow
from provisioning.job import Job, JobState, JobStatus, Resources
from provisioning.target import Chunk, Offer

START_SECONDS = 10.0


class LocalTarget:
    """This machine as a Target. Job ids are job names; `root` holds one folder a job."""

    name = "local"

    def __init__(self, root: Path) -> None:
        self.root = root

    def offers(self, need: Resources) -> Sequence[Offer]:
        """One offer: this machine, with the reason why it fits or not."""
        gpus = _gpus()
        if need.gpus and not gpus:
            return [Offer("local", 0.0, "no GPU was found here (nvidia-smi is missing or shows none)", fits=False)]
        memory = psutil.virtual_memory().total / 1e9
        what = ", ".join(gpus) if gpus else f"CPU only: {os.cpu_count()} cores"
        fits = memory >= need.memory_gb and shutil.disk_usage(_existing(self.root)).free / 1e9 >= need.disk_gb
        return [Offer("local", 0.0, f"{what}, {memory:.0f} GB memory", fits=fits)]

    def submit(self, job: Job) -> str:
        """Start a job; adopt it when it runs or has succeeded; start it again in its folder when it ended otherwise.

        Raises StepFailed when it cannot be started (no space, no permission).
        """
        folder = self.root / job.name
        if folder.is_dir() and self.status(job.name).state in ("running", "succeeded"):
            return job.name
        try:
            self._lay_out(job, folder)
            self._start(job, folder)
        except OSError as error:
            raise StepFailed(f"job {job.name} cannot be started in {folder}: {error.strerror}") from error
        return job.name

    def _lay_out(self, job: Job, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("exit.json", "child.json", "wrapper.json"):
            (folder / name).unlink(missing_ok=True)
        for name, source in job.files.items():
            place = folder / name
            place.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, place, dirs_exist_ok=True)
            else:
                shutil.copyfile(source, place)
        body = {"command": list(job.command), "limit_seconds": job.limit_seconds, "environment": dict(job.environment)}
        (folder / "job.json").write_text(json.dumps(body, indent=1), encoding="utf-8")

    def _start(self, job: Job, folder: Path) -> None:
        with open(folder / "wrapper.log", "ab") as log:
            child = subprocess.Popen(
                [sys.executable, wrapper.__file__, str(folder)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **job.secrets},
                start_new_session=True,
            )
        _CHILDREN[child.pid] = child
        body = {"pid": child.pid, "began": psutil.Process(child.pid).create_time()}
        partial = folder / ".wrapper.json.new"
        partial.write_text(json.dumps(body), encoding="utf-8")
        os.replace(partial, folder / "wrapper.json")

    def status(self, id: str) -> JobStatus:
        """What the job's folder and processes say. Raises UsageError for an unknown id."""
        folder = self._folder(id)
        alive = self._process(folder) is not None
        ended = _json(folder / "exit.json")  # read after looking for the process: it is written before the process ends
        if ended is not None:
            state: JobState = ended["state"]
            return JobStatus(id, state, ended["exit_code"], "" if state == "succeeded" else _last_words(folder))
        if alive:
            return JobStatus(id, "running")
        return JobStatus(id, "interrupted", None, _last_words(folder))

    def follow(self, id: str, offset: int = 0) -> Iterator[Chunk]:
        folder = self._folder(id)

        def read(start: int) -> bytes:
            path = folder / "events.jsonl"
            if not path.exists():
                return b""
            with path.open("rb") as file:
                file.seek(start)
                return file.read()

        return follow(read, lambda: self.status(id).state != "running", offset)

    def fetch(self, id: str, paths: Sequence[str], into: Path) -> None:
        """Copy files or folders; hard links where the file system allows, since model files are large."""
        folder = self._folder(id)
        for path in paths:
            source, place = folder / path, into / path
            if not source.exists():
                raise StepFailed(f"job {id} left no {path}")
            place.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.rmtree(place, ignore_errors=True)
                shutil.copytree(source, place, copy_function=_link_or_copy)
            else:
                place.unlink(missing_ok=True)
                _link_or_copy(str(source), str(place))

    def expose(self, id: str, port: int) -> AbstractContextManager[str]:
        self._folder(id)
        return nullcontext(f"http://127.0.0.1:{port}")

    def cancel(self, id: str) -> None:
        folder = self._folder(id)
        process = self._process(folder)
        if process is None:
            return
        process.terminate()
        try:
            process.wait(timeout=wrapper.GRACE_SECONDS + 10)
        except psutil.TimeoutExpired:
            process.kill()
        if not (folder / "exit.json").exists():  # stopped before it could say so itself
            if (child := _json(folder / "child.json")) is not None:
                wrapper.signal_group(child["pid"], signal.SIGKILL)
            wrapper.write_exit(folder, {"state": "stopped", "exit_code": None})

    def down(self, id: str) -> None:
        """Nothing is rented here; only stop."""
        self.cancel(id)

    def list(self) -> Sequence[JobStatus]:
        if not self.root.is_dir():
            return []
        return [self.status(folder.name) for folder in sorted(self.root.iterdir()) if (folder / "job.json").is_file()]

    def folder(self, id: str) -> Path:
        """The job's folder, for what only this machine can offer: reading its log while it runs."""
        return self._folder(id)

    def _folder(self, id: str) -> Path:
        folder = self.root / id
        if not (folder / "job.json").is_file():
            raise UsageError(f"there is no job {id} in {self.root}")
        return folder

    def _process(self, folder: Path) -> psutil.Process | None:
        """The wrapper's process, if it still is that process (a pid may be given away again)."""
        body = _json(folder / "wrapper.json")
        if body is None:
            return _just_started(folder)
        if (child := _CHILDREN.get(body["pid"])) is not None and child.poll() is not None:
            del _CHILDREN[body["pid"]]  # reaped, so that it does not stay behind as a zombie
            return None
        try:
            process = psutil.Process(body["pid"])
            same = abs(process.create_time() - body["began"]) < 1.0 and process.status() != psutil.STATUS_ZOMBIE
            return process if same else None
        except psutil.Error:
            return None


_CHILDREN: dict[int, subprocess.Popen[bytes]] = {}
"""Wrappers started by this process, to be reaped when they end."""


def _just_started(folder: Path) -> psutil.Process | None:
    """A wrapper whose starter died before writing down its pid; it names the folder on its command line."""
    for process in psutil.process_iter(["cmdline"]):
        arguments = process.info["cmdline"] or []
        if len(arguments) == 3 and arguments[1].endswith("wrapper.py") and Path(arguments[2]) == folder:
            return process
    return None


def _last_words(folder: Path) -> str:
    """The last line of the log that says something."""
    path = folder / "log.txt"
    if not path.exists():
        return ""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 4000))
        lines = [line.strip() for line in file.read().decode(errors="replace").splitlines() if line.strip()]
    return lines[-1][:300] if lines else ""


def _json(path: Path) -> dict[str, Any] | None:
    try:
        body: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return body


def _link_or_copy(source: str, place: str) -> str:
    try:
        os.link(source, place)
    except OSError:
        shutil.copyfile(source, place)
    return place


def _existing(path: Path) -> Path:
    while not path.exists():
        path = path.parent
    return path


def _gpus() -> list[str]:
    """Names of the GPUs here, by nvidia-smi."""
    if shutil.which("nvidia-smi") is None:
        return []
    query = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    answer = subprocess.run(query, capture_output=True, text=True, timeout=20, check=False)
    return [line.strip() for line in answer.stdout.splitlines() if line.strip()] if answer.returncode == 0 else []


def wait(target: LocalTarget, id: str, seconds: float) -> JobStatus:
    """Wait for a job's end; its status, running when it has not ended in time."""
    deadline = time.monotonic() + seconds
    while (status := target.status(id)).state == "running" and time.monotonic() < deadline:
        time.sleep(0.05)
    return status
