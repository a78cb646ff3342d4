"""Jobs on this machine: a folder and a detached process each, found again by name after anything."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from core.errors import StepFailed
from provisioning import facts, machine
from provisioning.facts import Facts
from provisioning.follow import follow
from provisioning.job import Job, JobStatus, Resources, UnknownJobError, job_body
from provisioning.preflight import offer_of
from provisioning.target import Chunk, Offer, Say, Target, silent


class LocalTarget:
    """This machine as a Target. Job ids are job names; `root` holds one folder a job."""

    name = "local"
    vanishes = recovers = False

    def __init__(self, root: Path) -> None:
        self.root = root

    def offers(self, need: Resources) -> Sequence[Offer]:
        """One offer: this machine, with the reason why it fits or not."""
        return [offer_of(self.name, self.facts(), need)]

    def prepare(self, need: Resources, say: Say = silent) -> None:
        """Nothing is rented here."""

    def facts(self) -> Facts:
        """What this machine has."""
        return Facts(**facts.facts(self.root))

    def tunnel_command(self, port: int, local_port: int) -> tuple[Sequence[str], Mapping[str, str]]:
        """None is needed."""
        return (), {}

    def submit(self, job: Job, say: Say = silent) -> str:
        """Start a job; adopt it when it runs or has succeeded; start it again in its folder when it ended otherwise.

        Raises StepFailed when it cannot be started (no space, no permission).
        """
        folder = self.root / job.name
        try:
            machine.launch(folder, job_body(job), dict(job.secrets), lambda to: _copy(job, to))
        except machine.Refused as refusal:
            raise StepFailed(str(refusal)) from refusal
        except OSError as error:
            raise StepFailed(f"job {job.name} cannot be started in {folder}: {error.strerror}") from error
        return job.name

    def status(self, id: str) -> JobStatus:
        """What the job's folder and its lock say. Raises UnknownJobError for an unknown id."""
        found = machine.status(self.root / id)
        if found is None:
            raise UnknownJobError(f"there is no job {id} in {self.root}")
        return JobStatus(id, **found)

    def follow(self, id: str, offset: int = 0) -> Iterator[Chunk]:
        path = self.folder(id) / "events.jsonl"

        def read(start: int) -> bytes:
            if not path.exists():
                return b""
            with path.open("rb") as file:
                file.seek(start)
                return file.read()

        return follow(read, lambda: self.status(id).state != "running", offset)

    def fetch(self, id: str, paths: Sequence[str], into: Path) -> None:
        """Copy files or folders; hard links where the file system allows, since model files are large."""
        folder = self.folder(id)
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

    def free_port(self) -> int:
        return machine.free_port()

    def expose(self, id: str, port: int) -> AbstractContextManager[str]:
        self.folder(id)
        return nullcontext(f"http://127.0.0.1:{port}")

    def cancel(self, id: str) -> None:
        machine.cancel(self.folder(id))

    def down(self, id: str) -> None:
        """Nothing is rented here; only stop."""
        self.cancel(id)

    def list(self) -> Sequence[JobStatus]:
        return [JobStatus(id, **found) for id, found in machine.list_jobs(self.root).items()]

    def close(self) -> None:
        """Nothing is held."""

    def folder(self, id: str) -> Path:
        """The job's folder. Raises UnknownJobError for an unknown id."""
        self.status(id)
        return self.root / id


def _copy(job: Job, folder: Path) -> None:
    for name, source in job.files.items():
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, place, dirs_exist_ok=True)
        else:
            shutil.copyfile(source, place)


def _link_or_copy(source: str, place: str) -> str:
    try:
        os.link(source, place)
    except OSError:
        shutil.copyfile(source, place)
    return place


def wait(target: Target, id: str, seconds: float) -> JobStatus:
    """Wait for a job's end; its status, running when it has not ended in time."""
    deadline = time.monotonic() + seconds
    while (status := target.status(id)).state == "running" and time.monotonic() < deadline:
        time.sleep(0.05)
    return status
