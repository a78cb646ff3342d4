"""Flags of vLLM that follow from the model, the requests it will get and the machine, each with its reason.

Sources: https://docs.vllm.ai/en/stable/cli/serve/ and https://docs.vllm.ai/en/stable/getting_started/installation/cpu/.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import ceil
from pathlib import Path
from typing import Any

from core.errors import StepFailed
from core.serving.adapter import Adapter
from core.serving.gpu_memory import BESIDE_WEIGHTS, LARGEST_SHARE, SHARE, Footprint, footprint
from core.training.base_models import find, listed_parameters
from core.training.model_facts import read_config
from core.training.out_of_memory import gigabytes
from core.training.plan import SPINS
from core.training.sharing import text_config

ANSWER_TOKENS = 256
"""What the assistant asks for at most (`max_tokens` of its configuration)."""
HEADROOM = 2
"""Conversations outside the tests go on longer; room that is not used costs next to nothing, as vLLM hands out memory by the page."""
UNKNOWN_WEIGHTS = 32_000_000_000
"""Bytes of a base model's weights where nobody knows them."""
UNKNOWN_PROMPTS = 8192
"""Tokens where nobody knows how long prompts are; a model's own limit may need more memory than the machine has."""
_ROUND = 1024
_MARGIN = 0.03
"""Of a GPU's memory, left to the other programs on it."""
_CPU_SEQUENCES = 32
"""Requests of full length that a machine without a GPU keeps in memory at once."""
_NO_FLOAT16 = frozenset({"gemma2", "gemma3", "gemma3_text", "glm4"})
"""`model_type` of the models that vLLM refuses to compute in float16 (its config/model.py)."""


@dataclass(frozen=True)
class Model:
    """What is served: a whole model, or an adapter's base model with it."""

    config: Mapping[str, Any]
    """Of the whole or base model; empty where it is not at hand."""
    weights: int
    """Bytes on the disk; 0 where they are not at hand."""
    adapter: Adapter | None = None
    longest_row: int = 0
    """Tokens of the longest row it learnt from; 0 where nobody knows."""


@dataclass(frozen=True)
class VllmFlags:
    """Arguments beside the model's name and the address, and what they need."""

    arguments: tuple[str, ...]
    reasons: tuple[str, ...]
    """One for each, beginning with the flag."""
    gpus: int
    """0 for vLLM's CPU build."""
    needs: Footprint
    environment: dict[str, str] = field(default_factory=dict)


def model_in(folder: Path, adapter: Adapter | None = None, base: Path | None = None, longest_row: int = 0) -> Model:
    """What is known of a model, or an adapter with its base model: from the files where they are here, else from the list of models."""
    whole = folder if adapter is None else base
    if whole is not None and whole.is_dir():
        weights = sum(path.stat().st_size for path in whole.glob("*.safetensors"))
        return Model(read_config(whole), weights, adapter, longest_row)
    if adapter is None:
        return Model({}, 0, None, longest_row)
    found = find(adapter.base).facts
    parameters = found.parameters if found is not None else listed_parameters(adapter.base) or 0
    return Model({} if found is None else {**found.config, "dtype": "bfloat16"}, 2 * parameters, adapter, longest_row)


def assumed(model: Model) -> Model:
    """The model, with a guess where nobody knows how large its weights are before they are downloaded."""
    return model if model.weights else replace(model, weights=UNKNOWN_WEIGHTS)


def vllm_flags(model: Model, gpus: Sequence[Mapping[str, Any]], memory: int = 0) -> VllmFlags:
    """The flags for a machine with these GPUs, as `provisioning.facts` tells of them, and `memory` bytes beside them.

    Raises StepFailed when the weights do not fit the GPUs or the adapter's rank is too high.
    """
    length, length_reason = length_of(model)
    dtype, dtype_reason = precision(model.config, gpus)
    needs = footprint(model.config, model.weights, dtype, length)
    flags = [
        (("--dtype", dtype), dtype_reason),
        (("--max-model-len", str(length)), length_reason),
        (("--enable-prefix-caching",), "all prompts begin alike"),
        (("--structured-outputs-config.backend", "xgrammar"), "what the grammars of commands are written for"),
    ]
    environment: dict[str, str] = {}
    parallel = 0
    if gpus:
        parallel, more = _memory_flags(needs, gpus)
        flags += more
    else:
        flags.append((("--enforce-eager",), "without a GPU nothing is compiled, which starts sooner"))
        space = max(1, ceil(_CPU_SEQUENCES * needs.request / (1 << 30)))
        space = min(space, memory // (4 << 30)) or 1 if memory else space
        environment |= {"VLLM_CPU_KVCACHE_SPACE": str(space), "GOMP_SPINCOUNT": SPINS}
    reasons = [f"{' '.join(words)}: {why}" for words, why in flags]
    if model.adapter is not None:
        reasons.append(f"--max-lora-rank {model.adapter.max_rank}: the adapter's rank is {model.adapter.rank}")
    return VllmFlags(tuple(word for words, _ in flags for word in words), tuple(reasons), parallel, needs, environment)


def precision(config: Mapping[str, Any], gpus: Sequence[Mapping[str, Any]]) -> tuple[str, str]:
    """What a model with this config.json is computed in on these GPUs, and why."""
    if not gpus:
        return "bfloat16", "half the memory of float32, and what vLLM's CPU build computes best"
    name, capability = str(gpus[0].get("name", "the GPU")), _capability(gpus)
    if capability is None:
        return "auto", f"as the model was saved, since {name} does not say what it computes"
    if capability >= 8:
        return "bfloat16", f"{name} computes it (compute capability {capability:g})"
    if text_config(config).get("model_type") in _NO_FLOAT16:
        return "float32", f"{name} has no bfloat16 (compute capability {capability:g}) and this model overflows in float16"
    return "float16", f"{name} has no bfloat16 (compute capability {capability:g})"


def _capability(gpus: Sequence[Mapping[str, Any]]) -> float | None:
    """Of the oldest GPU."""
    try:
        return min(float(one["compute"]) for one in gpus)
    except (KeyError, TypeError, ValueError):
        return None


def length_of(model: Model) -> tuple[int, str]:
    """Tokens of prompt and answer together, and why."""
    limit = int(text_config(model.config).get("max_position_embeddings") or 0)
    if model.longest_row:
        needed = model.longest_row + ANSWER_TOKENS
        wanted = ceil((HEADROOM * model.longest_row + ANSWER_TOKENS) / _ROUND) * _ROUND
        why = f"the longest row it learnt has {model.longest_row:,} tokens; twice that for longer conversations, {ANSWER_TOKENS} to answer"
    else:
        needed, wanted, why = 0, UNKNOWN_PROMPTS, "it is not known how long prompts are"
    if not limit or wanted <= limit:
        return wanted, why
    if needed > limit:
        return limit, f"the model reads no more; prompts of {limit - ANSWER_TOKENS:,} tokens and more will be refused, and some are as long"
    return limit, "the model reads no more"


def _memory_flags(needs: Footprint, gpus: Sequence[Mapping[str, Any]]) -> tuple[int, list[tuple[tuple[str, ...], str]]]:
    """(GPUs taken, flags): the fewest that hold weights and one request, and how much of their memory where it is not the usual share."""
    total = min(int(one.get("memory") or 0) for one in gpus)
    free = min(int(one.get("free") or one.get("memory") or 0) for one in gpus)
    if not total:
        return 1, []
    busy = free < (SHARE + _MARGIN) * total
    most = free / total - _MARGIN if busy else LARGEST_SHARE
    count = needs.fewest(len(gpus), most * total)
    if count is None:
        raise StepFailed(
            f"the model needs {gigabytes(needs.weights + needs.request)} and {gigabytes(BESIDE_WEIGHTS)} more on each GPU; there are "
            f"{len(gpus)} {gpus[0].get('name')} with {gigabytes(free)} free each: take larger or more GPUs, or a quantised copy "
            "(production.quantised)"
        )
    flags: list[tuple[tuple[str, ...], str]] = []
    if count > 1:
        why = f"the weights take {gigabytes(needs.weights)} and one GPU has {gigabytes(total)}"
        flags.append((("--tensor-parallel-size", str(count)), why))
    if busy:
        why = f"only {gigabytes(free)} of {gigabytes(total)} are free"
        flags.append((("--gpu-memory-utilization", f"{int(100 * most) / 100:g}"), why))
    elif needs.on_each(count) > SHARE * total:
        flags.append((("--gpu-memory-utilization", f"{LARGEST_SHARE:g}"), "weights and one request need more than the usual share"))
    return count, flags
