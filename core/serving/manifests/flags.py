"""The one place where vLLM's flags in files to take away come from, and on what GPUs they count.

Source: https://docs.vllm.ai/en/stable/cli/serve/.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from core.serving.adapter import Adapter
from core.serving.gpu_memory import MOST_GPUS
from core.serving.vllm_flags import assumed, model_in, vllm_flags

_LARGE_GPU = {"name": "a GPU of 80 GB", "memory": 80_000_000_000}
"""A model that one such GPU holds is served by one."""


@dataclass(frozen=True)
class Flags:
    """How vLLM serves a model on a machine that is not known."""

    arguments: tuple[str, ...]
    """Of `vllm serve`, beside the model, its name and the address."""
    weights: int
    """Bytes that GPUs hold."""
    gpus: int
    """That one server needs."""
    gpu_memory: float
    """Bytes that each of them must have."""


def flags_for(model: Path, adapter: Adapter | None, longest_row: int) -> Flags:
    """The flags for a whole model or an adapter in a folder; `longest_row` in tokens, 0 where that is not known.

    Raises StepFailed when eight large GPUs do not hold it.
    """
    base = Path(adapter.base).expanduser() if adapter is not None else None
    found = vllm_flags(assumed(model_in(model, adapter, base, longest_row)), MOST_GPUS * [_LARGE_GPU])
    return Flags(found.arguments, found.needs.weights, found.gpus, found.needs.smallest_gpu(found.gpus))
