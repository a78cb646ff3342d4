"""The one interface to places where jobs run. Local, SSH and SkyPilot targets pass the same contract tests."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from provisioning.job import Job, JobStatus, Resources


@dataclass(frozen=True)
class Offer:
    """Something that could run a need."""

    name: str
    usd_per_hour: float
    reason: str
    """Why this fits, or why it does not."""
    fits: bool = True
    spot: bool = False


@dataclass(frozen=True)
class Chunk:
    """Bytes of a job's event stream."""

    data: bytes
    offset: int
    """Byte offset after this chunk; pass it to `follow` to go on without gap or duplicate."""


class Target(Protocol):
    """A place where jobs run. All methods block; call them from a worker thread. All raise ProviderError when the place
    cannot be reached, UsageError when it lets nobody in, and UnknownJobError for an unknown job id."""

    name: str

    def offers(self, need: Resources) -> Sequence[Offer]: ...

    def submit(self, job: Job) -> str:
        """Start the job, or adopt the one that already carries its name; its id (deterministic from the name)."""
        ...

    def status(self, id: str) -> JobStatus: ...

    def follow(self, id: str, offset: int = 0) -> Iterator[Chunk]:
        """The job's `events.jsonl` from a byte offset, until the job ends. Whole lines only, no gaps, no duplicates;
        empty chunks while nothing new is there, so that the caller may stop following."""
        ...

    def fetch(self, id: str, paths: Sequence[str], into: Path) -> None:
        """Copy files or folders of the job's folder here."""
        ...

    def free_port(self) -> int:
        """A port on the machine's loopback that nothing listens on at this moment."""
        ...

    def expose(self, id: str, port: int) -> AbstractContextManager[str]:
        """A loopback base address (http://127.0.0.1:port) that reaches the job's port."""
        ...

    def cancel(self, id: str) -> None:
        """Stop the job: terminate its process group, kill it after a grace period. Idempotent."""
        ...

    def down(self, id: str) -> None:
        """Stop and release what was rented for it. Idempotent."""
        ...

    def list(self) -> Sequence[JobStatus]:
        """Every job of ours here, running or not."""
        ...
