"""What machines the steps ask for."""

from __future__ import annotations

from provisioning.job import Resources


def need_of(gpus: int) -> Resources:
    """The machine for a job with so many GPUs: for each the recipe's 12 cores and 64 GB, and a disk for the weights of several models."""
    if not gpus:
        return Resources(cpus=2, memory_gb=8, disk_gb=50)
    return Resources(gpus=gpus, cpus=12 * gpus, memory_gb=64 * gpus, disk_gb=256)
