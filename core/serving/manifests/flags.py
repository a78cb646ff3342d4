"""The one place where vLLM's flags in files to take away come from, and how many GPUs they are for.

Source: https://docs.vllm.ai/en/stable/cli/serve/.
"""

from __future__ import annotations

from math import ceil
from pathlib import Path

from core.serving.adapter import Adapter
from core.training.base_models import find, parameters_of
from core.training.model_facts import read_config
from core.training.sharing import text_config

ANSWER_TOKENS = 256
"""What the assistant asks for at most."""
UNKNOWN_PROMPTS = 8192
"""Tokens where nobody knows how long prompts are: a model's own limit may need more memory than a GPU has."""
UNKNOWN_WEIGHTS = 32_000_000_000
"""Bytes of a base model's weights where nobody knows them before they are downloaded."""
GPU = 80e9
"""Bytes of a large GPU; a model that one holds is served by one."""
_SHARE = 0.9
"""Of a GPU's memory that vLLM takes."""
_BESIDE_WEIGHTS = 4e9
"""Bytes on each GPU for keys and values, activations and CUDA graphs."""


def flags_for(model: Path, adapter: Adapter | None, longest_row: int, gpus: int) -> tuple[str, ...]:
    """Arguments of `vllm serve` beside the model, its name and the address; `longest_row` in tokens, 0 where that is not known."""
    limit = _context(model, adapter)
    wanted = 1024 * ceil((2 * longest_row + ANSWER_TOKENS) / 1024) if longest_row else UNKNOWN_PROMPTS
    length = min(wanted, limit) if limit else wanted
    parallel = ("--tensor-parallel-size", str(gpus)) if gpus > 1 else ()
    return ("--dtype", "auto", "--max-model-len", str(length), "--enable-prefix-caching", *parallel)


def weights_of(model: Path, adapter: Adapter | None) -> int:
    """Bytes of the weights on GPUs, in 16 bits unless they are quantised."""
    if adapter is not None:
        parameters = parameters_of(adapter.base)
        return UNKNOWN_WEIGHTS if parameters is None else 2 * parameters
    size = sum(path.stat().st_size for path in model.glob("*.safetensors"))
    config = read_config(model)
    return size // 2 if str(config.get("dtype") or config.get("torch_dtype")) == "float32" else size


def gpus_for(weights: int) -> int:
    """The fewest large GPUs that hold the weights; heads divide by powers of two."""
    return next((count for count in (1, 2, 4) if needed(weights, count) <= GPU), 8)


def needed(weights: int, gpus: int) -> float:
    """Bytes of memory that each GPU must have."""
    return (weights / gpus + _BESIDE_WEIGHTS) / _SHARE


def _context(model: Path, adapter: Adapter | None) -> int:
    """Tokens the model reads; 0 where that is not known."""
    if adapter is not None:
        facts = find(adapter.base).facts
        return facts.context if facts is not None else 0
    return int(text_config(read_config(model)).get("max_position_embeddings") or 0)
