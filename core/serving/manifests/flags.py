"""The one place where vLLM's flags in files to take away come from, and on what GPUs they count.

Source: https://docs.vllm.ai/en/stable/cli/serve/.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from core.serving.adapter import Adapter
from core.serving.vllm_flags import model_in, vllm_flags
from core.training.base_models import parameters_of
from core.training.model_facts import read_config

UNKNOWN_WEIGHTS = 32_000_000_000
"""Bytes of a base model's weights where nobody knows them before they are downloaded."""
_LARGE_GPU = {"name": "a GPU of 80 GB", "memory": 80_000_000_000}
"""A model that one such GPU holds is served by one."""
_SHARE = 0.9
"""Of a GPU's memory that vLLM takes."""
_BESIDE_WEIGHTS = 4e9
"""Bytes on each GPU for keys and values, activations and CUDA graphs."""


@dataclass(frozen=True)
class Flags:
    """How vLLM serves a model on a machine that is not known."""

    arguments: tuple[str, ...]
    """Of `vllm serve`, beside the model, its name and the address."""
    weights: int
    """Bytes that GPUs hold."""
    gpus: int
    """That one server needs."""


def flags_for(model: Path, adapter: Adapter | None, longest_row: int) -> Flags:
    """The flags for a whole model or an adapter in a folder; `longest_row` in tokens, 0 where that is not known.

    Raises StepFailed when eight large GPUs do not hold it.
    """
    base = Path(adapter.base).expanduser() if adapter is not None else None
    found = vllm_flags(model_in(model, adapter, base, longest_row), 8 * [_LARGE_GPU])
    return Flags(found.arguments, _weights(model, adapter), found.gpus)


def gpu_memory(weights: int, gpus: int) -> float:
    """Bytes that each of the GPUs must have."""
    return (weights / gpus + _BESIDE_WEIGHTS) / _SHARE


def _weights(model: Path, adapter: Adapter | None) -> int:
    """In 16 bits, unless they are quantised."""
    if adapter is not None:
        parameters = parameters_of(adapter.base)
        return UNKNOWN_WEIGHTS if parameters is None else 2 * parameters
    size = sum(path.stat().st_size for path in model.glob("*.safetensors"))
    config = read_config(model)
    return size // 2 if str(config.get("dtype") or config.get("torch_dtype")) == "float32" else size
