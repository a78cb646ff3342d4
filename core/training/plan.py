"""Settings of a training run, with presets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

Preset = Literal["small-cpu", "recipe-2024", "recipe-2025"]
SPINS = "10000"
"""GOMP_SPINCOUNT for torch on a CPU. Threads that sleep at once cost a third of the speed on two cores; libgomp's default of 300,000
makes steps thirty times slower as soon as another program computes there too."""


@dataclass(frozen=True)
class TrainingSettings:
    """What the training program is told. Frozen into its config.json."""

    method: str = "auto"
    """full trains all weights, lora an adapter, qlora an adapter to weights in 4 bits; auto is lora, or qlora where memory needs it."""
    epochs: float = 3.0
    """Passes over the rows; fractions are allowed."""
    rows_per_step: int = 16
    """Rows of one optimizer step; they are folded into one token tree."""
    learning_rate: float = 1e-4
    schedule: str = "linear"
    """linear or cosine, down to zero."""
    warmup_share: float = 0.05
    """Share of all steps over which the learning rate rises."""
    lora_rank: int = 16
    lora_alpha: int = 16
    weight_decay: float = 0.01
    max_grad_norm: float = 1.0
    evaluations: int = 8
    """How often validation loss and command exact match are measured over the run."""
    eval_rows: int = 0
    """Most validation rows to measure them on; 0 for all."""
    scored_rows: int = 400
    """Most validation rows the trained model's predictions are written down for."""
    checkpoints: int = 6
    """How many checkpoints are written over the run; the last is kept, and the best validation's weights."""
    max_length: int | None = None
    """Tokens; None for the model's own context. Longer rows are an error, never cut."""
    dtype: str = "auto"
    """float32, bfloat16 or auto: what this machine computes faster."""
    seed: int = 42
    early_stop: bool = True
    """Stop a run that is overfitting, diverged or has broken labels, and take the weights of the best validation."""
    attention: str = "auto"
    """How shared prefixes are computed once: flash, flex, fused, blocks or auto, the fastest the machine has."""


PRESETS: dict[str, TrainingSettings] = {
    "recipe-2024": TrainingSettings(
        epochs=4, rows_per_step=8, learning_rate=1e-4, schedule="cosine", lora_rank=32, lora_alpha=16, weight_decay=0.0
    ),
    "recipe-2025": TrainingSettings(epochs=3, rows_per_step=8, learning_rate=1e-4, lora_rank=16, lora_alpha=16),
    "small-cpu": TrainingSettings(
        epochs=1,
        rows_per_step=16,
        learning_rate=1e-3,
        lora_rank=32,
        lora_alpha=64,
        eval_rows=48,
        evaluations=5,
        checkpoints=4,
    ),
}
"""The recipe's notebooks of 2024 and 2025 (their dropout is left out: it has no place in shared-prefix training), and settings for models
of some hundred million parameters on a CPU."""


def adapter_in_words(settings: Mapping[str, Any]) -> str:
    """What was trained, from the settings of a run as they were written down; older ones name no method."""
    what = "none, all weights" if settings.get("method") == "full" else f"LoRA of rank {settings['lora_rank']}"
    return f"{what}, learning rate {settings['learning_rate']:g}"


def artifact_in_words(kind: str) -> str:
    """What a training left, from its summary."""
    return "the adapter alone, to be served with its base model" if kind == "adapter" else "the whole model"


def settings_of(preset: str, **overrides: object) -> TrainingSettings:
    """A preset with some values changed; None leaves the preset's."""
    return replace(PRESETS[preset], **{name: value for name, value in overrides.items() if value is not None})  # type: ignore[arg-type]
