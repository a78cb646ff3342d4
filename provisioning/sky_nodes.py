"""A rented machine of several nodes: the one SkyPilot calls head, where jobs run, and further ones that run their parts of a job.

A job on several nodes is a job on each of them, with the same command and files in a folder of its own, under a holder of its own (see
holder.py) which one task of SkyPilot's queue starts on all of them. What it is follows from the one on the head: the others end with it.
"""

from __future__ import annotations

import contextlib
import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from core.errors import CalmtuneError, StepFailed
from provisioning import ssh_files
from provisioning.job import Job, JobStatus, job_body
from provisioning.sky_sdk import Machine
from provisioning.ssh import SshTarget

_QUEUE_SECONDS = 600.0
"""How long a job may wait in the machine's queue."""
_HOLDER_SECONDS = 30.0
"""How long a holder is waited for before the queue is looked at again."""
_REPEATED_SECONDS = 10.0
"""How long a holder is looked for that a client which is gone may have left waiting."""


def ways(machine: Machine, make: Callable[[str, str], SshTarget]) -> list[SshTarget]:
    """A way to each node, the head's first. `make` gets the node's name in SkyPilot's SSH configuration and what keeps its jobs apart from
    those of other nodes, whose disk may be the same."""
    further = [make(f"{machine.name}-worker{number}", f"node{number}") for number in range(1, machine.nodes)]
    return [make(machine.name, ""), *further]


def upload(nodes: Sequence[SshTarget], files: Mapping[str, Path]) -> list[dict[str, str]]:
    """Send a job's files to all nodes, one after the other: where they share a disk, those that follow find them there."""
    return [ssh_files.upload(node.machine, files) for node in nodes]


def slot(nodes: Sequence[SshTarget], job: Job, machine: Machine) -> dict[str, Any]:
    """The task that holds a place in the machine's queue for a job on these nodes; it begins on all there are, and ends at once on those
    that have no part in it."""
    resources = {"accelerators": {machine.gpu_type: job.resources.gpus}} if job.resources.gpus else {"cpus": "0.5+"}
    starts = [_start(node, job.name) for node in nodes]
    if machine.nodes == 1:
        return {"name": job.name, "run": starts[0], "resources": resources}
    cases = "\n".join(f"{rank}) {start} ;;" for rank, start in enumerate(starts))
    run = f"case $SKYPILOT_NODE_RANK in\n{cases}\nesac"
    return {"name": job.name, "run": run, "resources": resources, "num_nodes": machine.nodes}


def _start(node: SshTarget, name: str) -> str:
    holder = shlex.join([node.machine.python, "-m", "provisioning.holder", node.folder_of(name)])
    return f"cd {shlex.quote(node.machine.package)} && exec {holder}"


def hand_over(nodes: Sequence[SshTarget], job: Job, contents: Sequence[Mapping[str, str]], queue: Callable[[], None]) -> None:
    """Give a job with its secrets to the holders of all nodes, the head's first: where the others run, it does, or has.

    `queue` queues the slot unless it is; it is called again while nobody comes: the slot that was found may have been about to end.
    Raises StepFailed when none begins, or the job cannot be launched.
    """
    deadline = time.monotonic() + _QUEUE_SECONDS
    queue()
    for node, files in zip(nodes, contents, strict=True):
        while not _give(node, job, files, _HOLDER_SECONDS):
            if time.monotonic() > deadline:
                raise StepFailed(f"{node.host}: the scheduler has not begun the job; nothing was run")
            queue()


def complete(further: Sequence[SshTarget], job: Job) -> None:
    """Give a job that was found running on the head to nodes whose holders still wait for it."""
    for node in further:
        _give(node, job, ssh_files.upload(node.machine, job.files), _REPEATED_SECONDS)


def status(nodes: Sequence[SshTarget], id: str) -> JobStatus:
    """What is known of a job: that of the head, until it has succeeded there; then all its nodes must. Raises as `SshTarget.status`."""
    found = nodes[0].status(id)
    if found.state not in ("succeeded", "failed"):
        return found
    for number, node in enumerate(nodes[1 : found.nodes], 1):
        part = node.status(id)
        if found.state == "failed" and part.state == "failed":
            return replace(found, detail=f"{found.detail}; node {number}: {part.detail}")
        if found.state == "succeeded" and part.state != "succeeded":
            return replace(part, detail=f"node {number}: {part.detail}" if part.detail else "")
    return found


def cancel(further: Sequence[SshTarget], id: str) -> None:
    """End a job's parts; nodes that cannot be reached end theirs when they miss the head's."""
    for node in further:
        with contextlib.suppress(CalmtuneError):
            node.cancel(id)


def _give(node: SshTarget, job: Job, files: Mapping[str, str], seconds: float) -> bool:
    """Whether a holder has taken the job, or it has begun already."""
    answer = node.machine.ask(
        "hand_over", long=True, id=node.id_of(job.name), body=job_body(job), secrets=dict(job.secrets), files=dict(files), seconds=seconds
    )  # fmt: skip
    return answer is not None
