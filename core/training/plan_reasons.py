"""Why a plan is as it is, in words: what decided it, what does not fit and what would, and what else fits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from core.training.hardware import Hardware
from core.training.memory import FLOAT32, Method, memory
from core.training.model_facts import ModelFacts
from core.training.out_of_memory import gigabytes
from core.training.plan import TrainingSettings
from core.training.ways import EFFICIENCY, METHODS, OVER_NETWORK, Way

SPARE = 0.12
"""Share of a memory that is left free for its fragments and for what an estimate misses."""
FULL_TUNING = 0.5e9
"""Parameters below which training all weights is worth naming."""
_HOW: dict[Method, str] = {"lora": "with LoRA", "qlora": "as QLoRA", "full": "to train all weights"}
WaysOf = Callable[[TrainingSettings], Sequence[Way]]
"""Settings → all ways through a step under them."""


def memory_reasons(
    best: Way, possible: Sequence[Way], settings: TrainingSettings, hardware: Hardware | None, facts: ModelFacts
) -> dict[str, str]:
    """Value of the plan → why, as far as memory decides it."""
    if hardware is None or not hardware.memory:
        return {
            "memory": "the machine's memory is not known; so much takes a whole step at once with as few activations kept as can be",
            **({"method": _as_asked(best)} if settings.method != "auto" else {}),
        }
    has = f"{whose(hardware)} {gigabytes(hardware.memory)}, of which {SPARE:.0%} are left free"
    alike = [way for way in possible if way.sharded == best.sharded]
    whole = {(way.method, way.checkpointed): way for way in alike if way.micro_rows == best.micro_rows}
    most = max(way.micro_rows for way in possible)
    without = whole[best.method, 0.0]
    need = f"{without.tokens.peak.tokens:,} tokens need {gigabytes(without.memory.total)} without"
    found = {
        "checkpointing": f"{_layers(best, facts)}: {need}, {has}",
        "method": "LoRA fits, weights need not be rounded to 4 bits",
    }
    if settings.method != "auto":
        found["method"] = f"{_as_asked(best)}; {has}"
    elif best.method == "qlora":
        least = min((way for way in possible if way.method == "lora"), key=lambda way: way.memory.total)
        found["method"] = f"QLoRA (nf4): bf16 LoRA needs at least {gigabytes(least.memory.total)}, {has}"
    if best.micro_rows == most:
        what = "a whole step of {} rows" if hardware.count == 1 else "all {} rows that a GPU has of a step"
        found["micro-batch"] = f"{what.format(most)} at once"
    else:
        step = min(
            (way for way in alike if way.micro_rows == most and way.method == best.method),
            key=lambda way: way.memory.total,
        )
        found["micro-batch"] = (
            f"{best.micro_rows} of {most} rows at a time: all together need at least "
            f"{gigabytes(step.memory.total)}, or more computing"
        )
    return found


def problem(
    best: Way,
    ways_of: WaysOf,
    facts: ModelFacts,
    settings: TrainingSettings,
    hardware: Hardware,
    others: Sequence[ModelFacts],
) -> str:
    """What is missing, and what would do: another method if one was asked for, else the largest other model."""
    usable = hardware.memory * (1 - SPARE)
    if settings.method == "qlora" and not hardware.gpu:
        said = f"QLoRA needs a GPU for weights in 4 bits, and {whose(hardware)} none"
    else:
        how = _HOW[best.method] if settings.method != "auto" else "even as QLoRA" if best.method == "qlora" else ""
        said = (
            f"{facts.name} needs at least {gigabytes(best.memory.total)} {how + ' ' if how else ''}and {whose(hardware)} "
            f"{gigabytes(hardware.memory)} ({gigabytes(usable)} usable)"
        )
    if settings.method != "auto":
        for method in METHODS[: 2 if hardware.gpu else 1]:
            least = min(way.memory.total for way in ways_of(replace(settings, method=method)))
            if method != settings.method and least <= usable:
                return f"{said}; method {method} would fit ({gigabytes(least)})."
    fitting = []
    for other in others:
        held = memory(
            other, best.tokens.peak, settings.lora_rank, method=best.method, checkpointed=1.0, gpu=hardware.gpu,
            bytes_per_number=2 if hardware.gpu else FLOAT32,
        )  # fmt: skip
        if held.total <= usable:
            fitting.append((other.parameters, other.name, held.total))
    if not fitting or (settings.method == "qlora" and not hardware.gpu):
        return f"{said}; no model of the list would fit, take a larger machine."
    _, name, total = max(fitting)
    return f"{said}; {name} would fit ({gigabytes(total)})."


def offers(
    facts: ModelFacts, best: Way, settings: TrainingSettings, hardware: Hardware | None, budget: int | None
) -> tuple[str, ...]:
    """Other ways that would fit; `budget` in bytes."""
    if facts.parameters >= FULL_TUNING or budget is None or hardware is None or best.method == "full":
        return ()
    whole = memory(
        facts, best.tokens.peak, settings.lora_rank, method="full", checkpointed=best.checkpointed, gpu=hardware.gpu,
        bytes_per_number=FLOAT32,
    )  # fmt: skip
    if whole.total > budget:
        return ()
    return (f"training all weights would fit too ({gigabytes(whole.total)}): method full",)


def gpus_reason(best: Way, possible: Sequence[Way], hardware: Hardware) -> str:
    """What several GPUs, or machines without, share out, and why."""
    many = f"{hardware.count} on {hardware.nodes} nodes" if hardware.nodes > 1 else f"{hardware.count}"
    speed = f"assumed to be {speed_up(hardware, best):.1f} times as fast as one, which was not measured"
    if not best.sharded:
        return f"{many} share out the rows of a step, each with the whole model (data parallel); {speed}"
    least = min(way.memory.total for way in possible if way.method == best.method and not way.sharded)
    return (
        f"{many} share out rows, weights, gradients and moments (FSDP): with the whole model each would need at least "
        f"{gigabytes(least)}, {whose(hardware)} {gigabytes(hardware.memory)}; {speed}"
    )


def speed_up(hardware: Hardware, way: Way) -> float:
    """Times the speed of one GPU, or machine without, that all together are assumed to reach."""
    if hardware.count == 1:
        return 1.0
    return EFFICIENCY[way.sharded] * (OVER_NETWORK if hardware.nodes > 1 else 1) * hardware.count


def machine_name(hardware: Hardware) -> str:
    """A machine in a few words."""
    each = hardware.count // hardware.nodes
    on_each = f"{each} × {hardware.name}" if each > 1 else hardware.name
    return f"{hardware.nodes} nodes of {on_each}" if hardware.nodes > 1 else on_each


def whose(hardware: Hardware) -> str:
    """The beginning of a sentence about what a machine has."""
    if not hardware.gpu:
        return "the machine has"
    return f"each {hardware.name} has" if hardware.count > 1 else f"{hardware.name} has"


def _as_asked(way: Way) -> str:
    if way.method == "full":
        return "all weights, as answered: in float32, with their gradients and Adam's two moments"
    return f"{'LoRA' if way.method == 'lora' else 'QLoRA (nf4)'}, as answered"


def _layers(way: Way, facts: ModelFacts) -> str:
    if not way.checkpointed:
        return "no layers computed again"
    return f"activations of {round(way.checkpointed * facts.layers)} of {facts.layers} layers computed again"
