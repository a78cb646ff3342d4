"""How much memory a training step takes, by part. Dense transformers with LoRA on all linear layers, or all weights trained; figures for
the largest moment.

The parts follow published budgets (8B, rank 16, 40 GB): weights 16.06 GB, adapter 0.67, about 23 in all with activations kept at layer
borders only and 8,192 tokens, 37.5 with all of them kept and 4,096. All weights take 16 bytes each in float32 (weight, gradient, Adam's two
moments) and 2 more for copies to compute with in bfloat16, as in Hugging Face's "Model training anatomy".
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal

from core.training.model_facts import ModelFacts

Method = Literal["lora", "qlora", "full"]
NF4 = 0.516
"""Bytes of a weight in 4 bits with doubly quantized scales, of the layers alone: embedding and head stay in 16 bits."""
OVERHEAD = {True: 1_750_000_000, False: 700_000_000}
"""Bytes that libraries take: the CUDA context and its workspace, or the process on a CPU."""
FLOAT32 = 4
"""Bytes of a number in float32."""
LOGIT_COPIES = 3
"""Logits as computed, in float32, and their gradient, in units of float32 copies."""


@dataclass(frozen=True)
class Load:
    """What one forward and backward pass holds, at its largest."""

    tokens: int
    """Unique tokens."""
    labels: int


@dataclass(frozen=True)
class Memory:
    """Bytes by part."""

    weights: int
    adapter: int
    """Adapter, gradients and the optimizer's two moments, in float32; in full fine-tuning gradients and moments of all weights."""
    activations: int
    logits: int
    overhead: int
    gathered: int = 0
    """Where weights are shared out among GPUs: those of layers at work, whole."""

    @property
    def total(self) -> int:
        return sum(asdict(self).values())


def memory(
    facts: ModelFacts,
    load: Load,
    rank: int,
    *,
    method: Method = "lora",
    checkpointed: float = 0.0,
    gpu: bool = True,
    bytes_per_number: int = 2,
    shards: int = 1,
) -> Memory:
    """What training takes. `checkpointed` is the share of layers whose activations are computed again instead of kept.

    `bytes_per_number` computed with: 2 in bfloat16, 4 in float32. Frozen weights and activations have it; weights that are trained stay
    in float32, and so does what flows from layer to layer. With more than one of `shards`, what each GPU holds when weights, gradients
    and moments are shared out among so many.
    """
    number = FLOAT32 if method == "full" else bytes_per_number
    layer = number * _kept_numbers(facts)
    border = number * facts.hidden
    kept = facts.layers * ((1 - checkpointed) * layer + checkpointed * border)
    at_work = (2 if checkpointed else 1) * layer  # gradients, and once more what is computed again
    trained = 12 * facts.parameters if method == "full" else 16 * facts.adapter_parameters(rank)
    return Memory(
        weights=round(_weights(facts, method, bytes_per_number if shards == 1 else number) / shards),
        adapter=round(trained / shards),
        activations=round(load.tokens * (kept + at_work)),
        logits=4 * LOGIT_COPIES * load.labels * facts.vocabulary,
        overhead=OVERHEAD[gpu],
        gathered=_gathered(facts, method, bytes_per_number) if shards > 1 else 0,
    )


def _gathered(facts: ModelFacts, method: Method, number: int) -> int:
    """A layer at work, the next one on its way, embedding and head; and as much again for gradients of all weights."""
    whole = 2 * facts.body_parameters // facts.layers + facts.head_parameters * (1 if facts.tied else 2)
    return number * whole * (2 if method == "full" else 1)


def _kept_numbers(facts: ModelFacts) -> int:
    """Numbers a layer keeps of each token for the way back: inputs of norms and products, queries, keys, values, four of the gated part."""
    return 4 * facts.intermediate + 3 * facts.hidden + facts.query_width + 2 * facts.key_width


def _weights(facts: ModelFacts, method: Method, number: int) -> float:
    if method == "full":
        return (FLOAT32 + (number if number < FLOAT32 else 0)) * facts.parameters
    if method == "qlora":
        return NF4 * facts.body_parameters + 2 * (facts.parameters - facts.body_parameters)
    return number * facts.parameters
