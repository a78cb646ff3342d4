"""The ways through an optimizer step: how many rows at once, which activations are kept, what is trained and in how many bits."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

from core.training.hardware import Hardware
from core.training.memory import FLOAT32, Memory, Method, memory
from core.training.model_facts import ModelFacts
from core.training.plan import TrainingSettings
from core.training.row_tokens import Folded, RowSet, folded
from core.training.throughput import operations

METHODS: tuple[Method, ...] = ("lora", "qlora", "full")
EFFICIENCY = {False: 0.9, True: 0.75}
"""Share of their summed speed that several GPUs are assumed to reach, with and without weights shared out among them; not measured."""
OVER_NETWORK = 0.8
"""Share of that which they are assumed to reach on several machines; not measured."""
CHECKPOINTING = (0.0, 0.5, 1.0)
"""Shares of the layers whose activations may be computed again."""


@dataclass(frozen=True)
class Way:
    """One way to go through a step."""

    method: Method
    checkpointed: float
    micro_rows: int
    tokens: Folded
    memory: Memory
    operations: float
    """Of the whole run."""
    sharded: bool = False
    """Whether weights are shared out among the GPUs (FSDP) instead of being whole on each of them."""


def methods(settings: TrainingSettings, gpu: bool) -> tuple[Method, ...]:
    """The method asked for; LoRA and, on a GPU, QLoRA where the choice is the plan's."""
    asked = {"lora": METHODS[:1], "qlora": METHODS[1:2], "full": METHODS[2:]}.get(settings.method)
    return asked or METHODS[: 2 if gpu else 1]


def ways(
    facts: ModelFacts, rows: RowSet, settings: TrainingSettings, hardware: Hardware | None, shares: bool, tokens: int
) -> list[Way]:
    """All ways through a step that keep its rows, by the method of the settings; the operations are those of the run.

    Several GPUs share out a step's rows; they can share out weights too, but not those in 4 bits.
    """
    gpu, count = hardware is None or hardware.gpu, hardware.count if hardware else 1
    share_of_step = max(1, settings.rows_per_step // count)
    sizes = [size for size in range(share_of_step, 0, -1) if share_of_step % size == 0]
    found = []
    for size in sizes:
        batch = folded(rows, size, shares)
        unique = tokens / batch.ratio
        for method, share, shards in product(methods(settings, gpu), CHECKPOINTING, sorted({1, count} if gpu else {1})):
            if method != "qlora" or shards == 1:
                held = memory(
                    facts, batch.peak, settings.lora_rank, method=method, checkpointed=share, gpu=gpu,
                    bytes_per_number=2 if gpu and settings.dtype != "float32" else FLOAT32, shards=shards,
                )  # fmt: skip
                work = operations(
                    facts, unique, tokens * batch.labels_per_token, unique * batch.pairs_per_token, share,
                    all_weights=method == "full",
                )  # fmt: skip
                found.append(Way(method, share, size, batch, held, work, shards > 1))
    return found
