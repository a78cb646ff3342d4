"""Which types of GPU hold a served model, and how many of each it takes, before a machine is rented for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from core.errors import StepFailed
from core.serving.gpu_memory import AT_ONCE, BESIDE_WEIGHTS, MOST_AT_ONCE, MOST_GPUS, SHARE, footprint
from core.serving.vllm_flags import Model, assumed, length_of, precision
from core.training.hardware import compute_capability, named_gpu
from core.training.out_of_memory import gigabytes


@dataclass(frozen=True)
class GpuChoice:
    """Types with their counts, and why."""

    counts: tuple[tuple[str, int], ...]
    reason: str


def choose_gpus(model: Model, gpu_types: Sequence[str], requests: int = AT_ONCE, most: int = MOST_GPUS) -> GpuChoice:
    """Of each type the fewest GPUs, of `most`, that hold the weights and so many requests of full length at once. A type whose memory is
    not known is taken, one of it. Raises StepFailed when none holds them."""
    model, requests = assumed(model), min(requests, MOST_AT_ONCE)
    length, _ = length_of(model)
    counts: list[tuple[str, int]] = []
    said: list[str] = []
    needed = ""
    for gpu_type in gpu_types:
        memory = named_gpu(gpu_type).memory
        capability = compute_capability(gpu_type)
        dtype, _ = precision(model.config, [{"name": gpu_type, **({"compute": capability} if capability else {})}])
        takes = footprint(model.config, model.weights, dtype, length)
        needed = needed or (
            f"weights take {gigabytes(takes.weights)}, {requests} request{'s' * (requests > 1)} of {length:,} tokens at once "
            f"{gigabytes(requests * takes.request)} and vLLM {gigabytes(BESIDE_WEIGHTS)} on each GPU"
        )
        count = takes.fewest(most, SHARE * memory, requests) if memory else 1
        has = f"{gpu_type} ({gigabytes(memory)})" if memory else f"{gpu_type} (whose memory is not known)"
        if count is not None:
            counts.append((gpu_type, count))
        said.append(f"{count} × {has}" if count is not None else f"not {has}, {most} of which do not hold it")
    if not counts:
        raise StepFailed(
            f"no GPU of {', '.join(gpu_types)} holds the model, {most} together neither: {needed}; name larger ones in "
            "session.cloud_gpus (H200, B200), or serve a quantised copy (production.quantised)"
        )
    return GpuChoice(tuple(counts), f"{needed}: {', '.join(said)}")
