"""The one interface to places where jobs run. Local, SSH and SkyPilot targets pass the same contract tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from provisioning.facts import Facts
from provisioning.job import Job, JobStatus, Resources


@dataclass(frozen=True)
class Offer:
    """Something that could run a need."""

    name: str
    usd_per_hour: float
    """Of all nodes of the need; NaN where no price is known."""
    reason: str
    """Why this fits, or why it does not."""
    fits: bool = True
    spot: bool = False
    """The cloud may take it back at any time."""
    gpu_type: str = ""
    gpus: int = 0
    gpu_memory_gb: float = 0.0
    """Of each GPU; 0 where it is not known."""
    infra: str = ""
    """SkyPilot's name of where it is rented."""


@dataclass(frozen=True)
class Chunk:
    """Bytes of a job's event stream."""

    data: bytes
    offset: int
    """Byte offset after this chunk; pass it to `follow` to go on without gap or duplicate."""


DEFAULT_ROOT = ".calmtune"
"""Folder of jobs and models on a machine that is not this one, in the home of whom we log in as."""

Say = Callable[[str], None]
"""Takes a line for the person who waits."""


def silent(line: str) -> None:
    """Say nothing."""


class Target(Protocol):
    """A place where jobs run. All methods block; call them from a worker thread. All raise ProviderError when the place
    cannot be reached, UsageError when it lets nobody in, and UnknownJobError for an unknown job id."""

    name: str
    vanishes: bool
    """Machines here may go away with all that is on them."""

    @property
    def recovers(self) -> bool:
        """A job whose machine went away goes on on another one without being asked."""
        ...

    def offers(self, need: Resources) -> Sequence[Offer]: ...

    def prepare(self, need: Resources, say: Say = silent) -> None:
        """Have a machine that meets the need, before anything is asked of it: rent one where machines are rented."""
        ...

    def facts(self) -> Facts:
        """What the machine has."""
        ...

    def tunnel_command(self, port: int, local_port: int) -> tuple[Sequence[str], Mapping[str, str]]:
        """Arguments of `python -m provisioning.tunnel` that lead from a port here to the machine's, and the environment it needs; no
        arguments where the machine is this one."""
        ...

    def submit(self, job: Job, say: Say = silent) -> str:
        """Start the job, or adopt the one that already carries its name; its id (deterministic from the name).

        `say` gets what happens meanwhile where it takes long, such as renting a machine.
        """
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

    def close(self) -> None:
        """Let connections go; jobs stay."""
        ...


@runtime_checkable
class RunsServices(Protocol):
    """A place where replicas run behind a load balancer."""

    def serve(self, job: str, task: Mapping[str, Any], need: Resources, say: Say = silent) -> str:
        """Bring up the service of a job, or adopt it where it is up or comes up; its name. `task` lacks machines, which `need` and the
        owner's terms give. Raises ProviderError, UsageError and BudgetReached."""
        ...
