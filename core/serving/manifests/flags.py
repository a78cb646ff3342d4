"""The one place where vLLM's flags in files to take away come from, and on what GPUs they count.

Source: https://docs.vllm.ai/en/stable/cli/serve/.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from pathlib import Path

from core.serving.adapter import Adapter
from core.training.base_models import find, parameters_of
from core.training.model_facts import read_config
from core.training.sharing import text_config

UNKNOWN_WEIGHTS = 32_000_000_000
"""Bytes of a base model's weights where nobody knows them before they are downloaded."""
_ANSWER_TOKENS = 256
"""What the assistant asks for at most."""
_UNKNOWN_PROMPTS = 8192
"""Tokens where nobody knows how long prompts are: a model's own limit may need more memory than a GPU has."""
_LARGE_GPU = 80e9
"""Bytes; a model that one such GPU holds is served by one."""
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
    """The flags for a whole model or an adapter in a folder; `longest_row` in tokens, 0 where that is not known."""
    weights, limit = _weights(model, adapter), _context(model, adapter)
    gpus = next((count for count in (1, 2, 4) if gpu_memory(weights, count) <= _LARGE_GPU), 8)  # heads divide by these
    wanted = 1024 * ceil((2 * longest_row + _ANSWER_TOKENS) / 1024) if longest_row else _UNKNOWN_PROMPTS
    length = min(wanted, limit) if limit else wanted
    parallel = ("--tensor-parallel-size", str(gpus)) if gpus > 1 else ()
    arguments = ("--dtype", "auto", "--max-model-len", str(length), "--enable-prefix-caching", *parallel)
    return Flags(arguments, weights, gpus)


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


def _context(model: Path, adapter: Adapter | None) -> int:
    """Tokens the model reads; 0 where that is not known."""
    if adapter is not None:
        facts = find(adapter.base).facts
        return facts.context if facts is not None else 0
    return int(text_config(read_config(model)).get("max_position_embeddings") or 0)
