"""The ways through an optimizer step: how many rows at once, which activations are kept, what is trained and in how many bits."""

from __future__ import annotations

from dataclasses import dataclass

from core.training.hardware import Hardware
from core.training.memory import FLOAT32, Memory, Method, memory
from core.training.model_facts import ModelFacts
from core.training.plan import TrainingSettings
from core.training.row_tokens import Folded, RowSet, folded
from core.training.throughput import operations

METHODS: tuple[Method, ...] = ("lora", "qlora", "full")
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


def methods(settings: TrainingSettings, gpu: bool) -> tuple[Method, ...]:
    """The method asked for; LoRA and, on a GPU, QLoRA where the choice is the plan's."""
    asked = {"lora": METHODS[:1], "qlora": METHODS[1:2], "full": METHODS[2:]}.get(settings.method)
    return asked or METHODS[: 2 if gpu else 1]


def ways(
    facts: ModelFacts, rows: RowSet, settings: TrainingSettings, hardware: Hardware | None, shares: bool, tokens: int
) -> list[Way]:
    """All ways through a step that keep its rows, by the method of the settings; the operations are those of the run."""
    gpu = hardware is None or hardware.gpu
    sizes = [size for size in range(settings.rows_per_step, 0, -1) if settings.rows_per_step % size == 0]
    found = []
    for size in sizes:
        batch = folded(rows, size, shares)
        unique = tokens / batch.ratio
        for method in methods(settings, gpu):
            for share in CHECKPOINTING:
                held = memory(
                    facts, batch.peak, settings.lora_rank, method=method, checkpointed=share, gpu=gpu,
                    bytes_per_number=2 if gpu and settings.dtype != "float32" else FLOAT32,
                )  # fmt: skip
                work = operations(
                    facts, unique, tokens * batch.labels_per_token, unique * batch.pairs_per_token, share,
                    all_weights=method == "full",
                )  # fmt: skip
                found.append(Way(method, share, size, batch, held, work))
    return found
