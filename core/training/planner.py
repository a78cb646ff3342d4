"""A training run planned before anything is spent: how it fits the memory, how long it takes, what it costs, and why.

Of all ways that fit the memory the one with the fewest operations is taken, with weights in 4 bits only where none with 16 fits.
The speed is a range, so minutes are one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from core.training.hardware import Hardware
from core.training.memory import Memory, Method, memory
from core.training.model_facts import ModelFacts
from core.training.out_of_memory import gigabytes
from core.training.plan import TrainingSettings
from core.training.row_tokens import RowSet, folded
from core.training.sharing import can_share
from core.training.throughput import validation_operations
from core.training.ways import FLOAT32, Way, ways

SPARE = 0.12
"""Share of a memory that is left free for its fragments and for what an estimate misses."""
FULL_TUNING = 0.5e9
"""Parameters below which training all weights is worth naming."""


@dataclass(frozen=True)
class Plan:
    """What a run will be; what is not known is None. Tokens over the whole run, memory in bytes."""

    model: str
    rows: int
    steps: int
    tokens: int
    unique_tokens: int
    """Tokens computed, those shared within a micro-batch once."""
    ratio: float
    longest_row: int
    shares: bool
    method: Method = "lora"
    micro_rows: int = 0
    """Rows of one forward pass; gradients add up to the rows of a step."""
    micro_tokens: int = 0
    """Unique tokens of the largest forward pass."""
    checkpointed_layers: int = 0
    """Layers whose activations are computed again on the way back."""
    parameters: int | None = None
    memory: Memory | None = None
    machine: str = ""
    """Name of the GPU, or the number of cores."""
    budget: int | None = None
    """What the machine has."""
    fits: bool | None = None
    minutes: tuple[float, float] | None = None
    """Of training steps and validations; loading, checking and merging come on top."""
    usd: tuple[float, float] | None = None
    problem: str = ""
    """Why it does not fit, and what would."""
    offers: tuple[str, ...] = ()
    """Other ways that would fit."""
    reasons: Mapping[str, str] = field(default_factory=dict)
    """Value → why it is that, in words."""

    @property
    def way(self) -> dict[str, object]:
        """What the training program is told of it."""
        return {
            "method": self.method,
            "micro_rows": self.micro_rows,
            "checkpointed_layers": self.checkpointed_layers,
            "shares": self.shares,
            "micro_tokens": self.micro_tokens,
            "bytes": self.memory.total if self.memory is not None else None,
        }

    @property
    def sentence(self) -> str:
        """The plan in one or two sentences; what is not known is left out."""
        unique = f" of which {_millions(self.unique_tokens)} unique ({self.ratio:.1f} ×)" if self.shares else ""
        parts = [f"{self.rows:,} rows, {self.steps:,} steps, {_millions(self.tokens)} tokens{unique}"]
        if self.minutes is not None:
            price = f", {_dollars(self.usd)}" if self.usd is not None else ""
            parts.append(f"about {_range(self.minutes)} min on {self.machine}{price}")
        if self.memory is not None:
            needed = gigabytes(self.memory.total)
            parts.append(f"{needed} of {gigabytes(self.budget)}" if self.budget else f"from {needed} of memory on")
        return "; ".join(parts) + (f". {self.problem}" if self.problem else "")


def plan(
    name: str,
    facts: ModelFacts | None,
    rows: RowSet,
    settings: TrainingSettings,
    hardware: Hardware | None = None,
    *,
    validation: RowSet | None = None,
    usd_per_hour: float | None = None,
    others: Sequence[ModelFacts] = (),
    reasons: Mapping[str, str] | None = None,
) -> Plan:
    """Plan a run of `rows` under `settings`. `others` are models to name when this one fits in no way.

    `reasons` are those of the settings. Without `facts` or `hardware`, what would follow from them is left out.
    """
    why = dict(reasons or {})
    refusal = can_share(facts.config, rows.longest) if facts else None
    shares = refusal is None
    why["tokens"] = f"counted {rows.counted}, without what the model's chat template adds"
    why["shared prefixes"] = refusal or f"measured by folding {len(rows.sample)} steps drawn from the rows"
    steps = max(1, round(settings.epochs * rows.rows / settings.rows_per_step))
    tokens = round(rows.tokens / rows.rows * steps * settings.rows_per_step)
    if facts is None:
        step = folded(rows, settings.rows_per_step)
        return Plan(
            name, rows.rows, steps, tokens, round(tokens / step.ratio), step.ratio, rows.longest, True, reasons=why
        )
    possible = ways(facts, rows, settings, hardware, shares, tokens)
    budget = round(hardware.memory * (1 - SPARE)) if hardware and hardware.memory else None
    fitting = [way for way in possible if budget is None or way.memory.total <= budget]
    plain = [way for way in fitting if way.method == "lora"]
    if budget is None:  # the careful way that still shares all it can
        whole = [way for way in plain if way.micro_rows == settings.rows_per_step]
        best = min(whole, key=lambda way: way.memory.total)
    else:
        best = min(plain or fitting or possible, key=lambda way: _worth(way, bool(fitting)))
    fits = bool(fitting) if budget is not None else None
    why |= _memory_reasons(best, possible, settings, hardware, facts)
    operations = best.operations + validation_operations(facts, settings, validation, shares)
    minutes = usd = None
    if hardware is not None:
        why["minutes"] = hardware.why
        if hardware.flops is not None and fits is not False:
            low, high = hardware.flops
            minutes = (operations / high / 60, operations / low / 60)
            if usd_per_hour is not None:
                usd = (minutes[0] / 60 * usd_per_hour, minutes[1] / 60 * usd_per_hour)
                why["usd"] = f"{usd_per_hour:g} US dollars an hour, as answered"
    return Plan(
        model=name,
        rows=rows.rows,
        steps=steps,
        tokens=tokens,
        unique_tokens=round(tokens / best.tokens.ratio),
        ratio=best.tokens.ratio,
        longest_row=rows.longest,
        shares=shares,
        method=best.method,
        micro_rows=best.micro_rows,
        micro_tokens=best.tokens.peak.tokens,
        checkpointed_layers=round(best.checkpointed * facts.layers),
        parameters=facts.parameters,
        memory=best.memory,
        machine=hardware.name if hardware else "",
        budget=hardware.memory if hardware and hardware.memory else None,
        fits=fits,
        minutes=minutes,
        usd=usd,
        problem=_problem(best, facts, settings, hardware, others) if fits is False and hardware else "",
        offers=_offers(facts, best, settings, hardware, budget),
        reasons=why,
    )


def _worth(way: Way, fits: bool) -> tuple[float, float]:
    """Among ways that fit the quickest; among those that do not the smallest."""
    return (way.operations, -way.micro_rows) if fits else (way.memory.total, way.operations)


def _memory_reasons(
    best: Way, possible: Sequence[Way], settings: TrainingSettings, hardware: Hardware | None, facts: ModelFacts
) -> dict[str, str]:
    if hardware is None or not hardware.memory:
        return {
            "memory": "the machine's memory is not known; so much takes a whole step at once with as few activations kept as can be"
        }
    has = f"{_whose(hardware)} {gigabytes(hardware.memory)}, of which {SPARE:.0%} are left free"
    whole = {(way.method, way.checkpointed): way for way in possible if way.micro_rows == best.micro_rows}
    without = whole[best.method, 0.0]
    need = f"{without.tokens.peak.tokens:,} tokens need {gigabytes(without.memory.total)} without"
    found = {
        "checkpointing": f"{_layers(best, facts)}: {need}, {has}",
        "method": "LoRA fits, weights need not be rounded to 4 bits",
    }
    if best.method == "qlora":
        least = min((way for way in possible if way.method == "lora"), key=lambda way: way.memory.total)
        found["method"] = f"QLoRA (nf4): bf16 LoRA needs at least {gigabytes(least.memory.total)}, {has}"
    if best.micro_rows == settings.rows_per_step:
        found["micro-batch"] = f"a whole step of {best.micro_rows} rows at once"
    else:
        step = min(
            (way for way in possible if way.micro_rows == settings.rows_per_step and way.method == best.method),
            key=lambda way: way.memory.total,
        )
        found["micro-batch"] = (
            f"{best.micro_rows} of {settings.rows_per_step} rows at a time: all together need at least "
            f"{gigabytes(step.memory.total)}, or more computing"
        )
    return found


def _whose(hardware: Hardware) -> str:
    return f"{hardware.name} has" if hardware.gpu else "the machine has"


def _layers(way: Way, facts: ModelFacts) -> str:
    if not way.checkpointed:
        return "no layers computed again"
    return f"activations of {round(way.checkpointed * facts.layers)} of {facts.layers} layers computed again"


def _problem(
    best: Way, facts: ModelFacts, settings: TrainingSettings, hardware: Hardware, others: Sequence[ModelFacts]
) -> str:
    """What is missing, and the largest other model that would do."""
    usable = hardware.memory * (1 - SPARE)
    way = "even as QLoRA " if best.method == "qlora" else ""
    said = (
        f"{facts.name} needs at least {gigabytes(best.memory.total)} {way}and {_whose(hardware)} {gigabytes(hardware.memory)}"
        f" ({gigabytes(usable)} usable)"
    )
    fitting = []
    for other in others:
        least = memory(
            other, best.tokens.peak, settings.lora_rank, method=best.method, checkpointed=1.0, gpu=hardware.gpu,
            bytes_per_number=2 if hardware.gpu else FLOAT32,
        )  # fmt: skip
        if least.total <= usable:
            fitting.append((other.parameters, other.name, least.total))
    if not fitting:
        return f"{said}; no model of the list would fit, take a larger machine."
    _, name, least_total = max(fitting)
    return f"{said}; {name} would fit ({gigabytes(least_total)})."


def _offers(
    facts: ModelFacts, best: Way, settings: TrainingSettings, hardware: Hardware | None, budget: int | None
) -> tuple[str, ...]:
    if facts.parameters >= FULL_TUNING or budget is None or hardware is None:
        return ()
    whole = memory(
        facts, best.tokens.peak, settings.lora_rank, method="full", checkpointed=best.checkpointed, gpu=hardware.gpu,
        bytes_per_number=FLOAT32,
    )  # fmt: skip
    if whole.total > budget:
        return ()
    return (f"training all weights would fit too ({gigabytes(whole.total)})",)


def _millions(count: int) -> str:
    return f"{count / 1e6:.1f} M" if count >= 50_000 else f"{count:,}"


def _range(pair: tuple[float, float]) -> str:
    low, high = (f"{max(1, round(value))}" for value in pair)
    return low if low == high else f"{low}–{high}"


def _dollars(pair: tuple[float, float] | None) -> str:
    low, high = pair or (0.0, 0.0)
    return f"${low:.2f}–{high:.2f}"
