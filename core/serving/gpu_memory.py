"""How much of GPUs' memory a served model takes: its weights once they are loaded, and the keys and values of requests.

The one reckoning behind vLLM's flags, the machines that are rented and the files to serve a model elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from core.training.model_facts import ModelFacts, facts_from
from core.training.sharing import text_config

SHARE = 0.92
"""Of a GPU's memory that vLLM takes unless it is told otherwise."""
LARGEST_SHARE = 0.95
"""That it may be told to take."""
BESIDE_WEIGHTS = 2 << 30
"""Bytes on each GPU for activations, CUDA graphs and the libraries."""
AT_ONCE = 4
"""Requests of full length for which a machine that is chosen has room at once, unless more are wanted."""
MOST_AT_ONCE = 32
"""More need not fit at full length: requests share the beginning of their prompts, and vLLM lets those wait that find no room."""
MOST_GPUS = 8
"""Of one server: tensor parallelism stays within a machine."""


@dataclass(frozen=True)
class Footprint:
    """What a model takes, in bytes of all GPUs together."""

    weights: int
    """As loaded; 0 where that is not known."""
    request: int
    """Keys and values of one request of full length; 0 where the model's shape is not known."""
    heads: int
    """Of attention, which must divide evenly among GPUs."""

    def on_each(self, gpus: int, requests: int = 1) -> float:
        """Bytes on each of so many GPUs, with room for so many requests of full length at once."""
        return (self.weights + requests * self.request) / gpus + BESIDE_WEIGHTS

    def fewest(self, most: int, usable: float, requests: int = 1) -> int | None:
        """GPUs, of `most`, that hold it where vLLM may take `usable` bytes of each; None where they do not."""
        counts = (count for count in range(1, most + 1) if not self.heads % count)
        return next((count for count in counts if self.on_each(count, requests) <= usable), None)

    def smallest_gpu(self, gpus: int) -> float:
        """Bytes of memory that each of so many GPUs should have."""
        return self.on_each(gpus, AT_ONCE) / SHARE


def footprint(config: Mapping[str, Any], saved: int, dtype: str, length: int) -> Footprint:
    """Of a model with this config.json and `saved` bytes of weights on the disk, computed in `dtype`, for requests of `length` tokens."""
    facts = facts_from("", config)
    if not isinstance(facts, ModelFacts):
        return Footprint(_loaded(config, saved, dtype), 0, 64)
    request = 2 * 2 * facts.layers * facts.key_width * length  # keys and values, in 16 bits
    return Footprint(_loaded(config, saved, dtype), request, facts.heads)


def _loaded(config: Mapping[str, Any], saved: int, dtype: str) -> int:
    """Quantised weights stay as they are; others take the precision that is computed in."""
    if "quantization_config" in config:
        return saved
    inner = text_config(config)
    was = next((str(one[key]) for one in (config, inner) for key in ("dtype", "torch_dtype") if one.get(key)), "")
    before, after = (4 if one == "float32" else 2 for one in (was, dtype))  # vLLM's "auto" is never 32 bits
    return saved // before * after
