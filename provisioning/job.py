"""A job as a value: everything needed to run a command somewhere, and what is known about it afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from core.errors import UsageError


@dataclass(frozen=True)
class Resources:
    """What a job needs."""

    gpus: int = 0
    gpu_counts: tuple[tuple[str, int], ...] = ()
    """Types that will do where machines are rented, SkyPilot's names (A100, A100-80GB), with how many of each; () for `gpus` of any."""
    gpu_memory_gb: float = 0.0
    """Of each GPU, at least; 0 where any will do."""
    cpus: int = 1
    memory_gb: float = 4
    disk_gb: float = 20
    nodes: int = 1
    """So many machines with all of that together; where machines are rented."""

    def gpus_of(self, gpu_type: str) -> int | None:
        """How many GPUs of a type are needed; None for a type that will not do."""
        return dict(self.gpu_counts).get(gpu_type) if self.gpu_counts else self.gpus

    @property
    def wanted(self) -> str:
        """Nodes and GPUs in words: "2 × L40S or 1 × H100"."""
        said = " or ".join(f"{count} × {gpu_type}" for gpu_type, count in self.gpu_counts)
        said = said or f"{self.gpus} GPU{'s' * (self.gpus != 1)}"
        return f"{self.nodes} nodes with {said} each" if self.nodes > 1 else said


@dataclass(frozen=True)
class Job:
    """A command with its files and limits."""

    name: str
    """Deterministic, from session and key; the same name is never launched twice."""
    command: tuple[str, ...]
    """Program and arguments; run in the job's folder. No secrets here."""
    files: Mapping[str, Path] = field(default_factory=dict)
    """Path inside the job's folder → file or folder here."""
    environment: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Environment variables that never reach disk, logs or argv."""
    resources: Resources = Resources()
    limit_seconds: float = 24 * 3600
    """Wall-clock limit, enforced on the machine itself."""
    ports: tuple[int, ...] = ()


def job_body(job: Job) -> dict[str, Any]:
    """What its wrapper is told of a job (job.json): everything but files and secrets."""
    return {
        "command": list(job.command),
        "limit_seconds": job.limit_seconds,
        "environment": dict(job.environment),
        "gpus": job.resources.gpus,
        "nodes": job.resources.nodes,
    }


JobState = Literal["running", "succeeded", "failed", "timed_out", "stopped", "interrupted"]
"""interrupted: no exit.json and no process; the outcome is unknown."""


@dataclass(frozen=True)
class JobStatus:
    """What is known of a job."""

    id: str
    state: JobState
    exit_code: int | None = None
    detail: str = ""
    """A sentence for the person, e.g. the last line of the log of a failed job."""
    nodes: int = 1
    """On so many it was started."""
    lost: bool = False
    """The machine is gone, and with it all that was not fetched."""


class UnknownJobError(UsageError):
    """There is no job of this id at a place that was reached and asked."""
