"""What machines the steps ask for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from core.serving.adapter import adapter_in
from core.serving.gpu_choice import choose_gpus
from core.serving.gpu_memory import MOST_GPUS
from core.serving.server import Engine
from core.serving.vllm_flags import assumed, model_in
from core.training.base_models import parameters_of
from core.training.effort import SMALL
from provisioning.job import Resources
from provisioning.sky import SkyTarget
from provisioning.target import Target


def need_of(gpus: int, nodes: int = 1) -> Resources:
    """The machine for a job with so many GPUs on each node: for each the recipe's 12 cores and 64 GB, and a disk for the weights of several
    models."""
    if not gpus:
        return Resources(cpus=2, memory_gb=8, disk_gb=50, nodes=nodes)
    return Resources(gpus=gpus, cpus=12 * gpus, memory_gb=64 * gpus, disk_gb=256, nodes=nodes)


def need_to_serve(target: Target, model: Path, longest_row: int, requests: int, engine: Engine) -> tuple[Resources, str]:
    """(what serves a model, whole or an adapter, at a place; why these GPUs, where they are chosen).

    A model of less than half a billion parameters is served without a GPU. Raises StepFailed when none of the GPUs that the owner rents
    holds the model.
    """
    adapter = adapter_in(model)
    served = assumed(model_in(model, adapter, Path(adapter.base).expanduser() if adapter is not None else None, longest_row))
    parameters = parameters_of(adapter.base if adapter is not None else str(model))
    if (parameters if parameters is not None else served.weights // 2) < SMALL:
        return need_of(0), ""
    if not isinstance(target, SkyTarget):
        return need_of(1), ""
    choice = choose_gpus(served, target.terms.gpu_types, requests, 1 if engine == "transformers" else MOST_GPUS)
    return replace(need_of(min(count for _, count in choice.counts)), gpu_counts=choice.counts), choice.reason
