"""One dial for how hard training tries: rank, passes, learning rate and validations follow from it and from the model's size.

After "LoRA Without Regret" (Schulman et al. 2025): adapters on all layers; a learning rate some ten times that of full fine-tuning, half as
much again for very short runs, and hardly dependent on the rank while alpha stays; fewer than 32 rows a step; and a low rank is enough for
rows that are no more than some hundred thousand labels. So the dial turns passes and validations more than the rank.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from core.training.plan import PRESETS, TrainingSettings

Effort = Literal["draft", "standard", "thorough"]
SMALL = 0.5e9
"""Parameters below which a model takes the settings that were measured on a CPU."""
_RATES = ((2e9, 4e-4), (5e9, 2e-4), (float("inf"), 1e-4))
"""Learning rate of standard runs by the parameters it holds up to."""
_UNKNOWN_RATE = 2e-4
_SHORT_RUN = 1.5
ALL_WEIGHTS = 0.1
"""Share of LoRA's learning rate at which all weights are trained."""


@dataclass(frozen=True)
class Chosen:
    """Settings with the reason of each value that was derived, by its name."""

    settings: TrainingSettings
    reasons: Mapping[str, str]


def settings_for(effort: Effort, parameters: int | None, **given: object) -> Chosen:
    """Settings of an effort for a model of so many parameters (None: not known); values `given` win unless they are None."""
    derived, reasons = _small(effort) if parameters is not None and parameters < SMALL else _large(effort, parameters)
    if given.get("method") == "full":
        derived, reasons = for_all_weights(derived, reasons)
    explicit = {name: value for name, value in given.items() if value is not None}
    kept = {name: why for name, why in reasons.items() if name not in explicit}
    return Chosen(
        replace(derived, **explicit),  # type: ignore[arg-type]
        {**kept, **{name: "as answered" for name in explicit if name in reasons}},
    )


def for_all_weights(settings: TrainingSettings, reasons: Mapping[str, str]) -> tuple[TrainingSettings, dict[str, str]]:
    """Settings for LoRA and their reasons, as they are when all weights are trained."""
    rate = float(f"{ALL_WEIGHTS * settings.learning_rate:.3g}")
    kept = {name: why for name, why in reasons.items() if name != "lora_rank"}
    why = f"{rate:g}, a tenth of LoRA's ({reasons['learning_rate']}): all weights are trained"
    return replace(settings, learning_rate=rate), {**kept, "learning_rate": why}


def _small(effort: Effort) -> tuple[TrainingSettings, dict[str, str]]:
    standard = PRESETS["small-cpu"]
    size = "a model below 0.5 B parameters"
    settings = {
        "draft": replace(standard, epochs=0.5, learning_rate=1.5e-3, lora_rank=16, evaluations=3, eval_rows=24),
        "standard": standard,
        "thorough": replace(standard, epochs=3, lora_rank=64, evaluations=10, eval_rows=120, checkpoints=6),
    }[effort]
    passes = f"{settings.epochs:g} {'pass' if settings.epochs == 1 else 'passes'}"
    return settings, {
        "epochs": f"{effort}: {passes}; {size} took one on a CPU and was good enough",
        "learning_rate": f"{settings.learning_rate:g} for {size}"
        + (", more for a short run" if effort == "draft" else ""),
        "lora_rank": f"rank {settings.lora_rank} for {size}, which needs more of it than large ones",
        "evaluations": f"{effort}: {settings.evaluations} validations, of {settings.eval_rows} rows each to save time",
    }


def _large(effort: Effort, parameters: int | None) -> tuple[TrainingSettings, dict[str, str]]:
    rank, epochs, evaluations = {"draft": (8, 1, 3), "standard": (16, 3, 8), "thorough": (32, 5, 12)}[effort]
    if parameters is None:
        rate, size = _UNKNOWN_RATE, "a model whose size is not known"
    else:
        rate = next(rate for most, rate in _RATES if parameters < most)
        size = f"a model of {parameters / 1e9:.1f} B parameters"
    rate = round(rate * _SHORT_RUN, 6) if effort == "draft" else rate
    settings = TrainingSettings(epochs=epochs, learning_rate=rate, lora_rank=rank, evaluations=evaluations)
    return settings, {
        "epochs": f"{effort}: {epochs} {'pass' if epochs == 1 else 'passes'} over the rows",
        "learning_rate": f"{rate:g} for {size}" + (", more for a short run" if effort == "draft" else ""),
        "lora_rank": f"rank {rank} is more than rows with short answers can fill",
        "evaluations": f"{effort}: {evaluations} validations",
    }
