"""A training run planned before anything is spent: how it fits the memory, how long it takes, what it costs, and why.

Of all ways that fit the memory the one with the fewest operations is taken; weights are shared out among several GPUs only where one does
not hold them, and in 4 bits only where none with 16 fits or they are asked for.
The speed is a range, so minutes are one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from core.training.hardware import Hardware
from core.training.memory import Memory, Method
from core.training.model_facts import ModelFacts
from core.training.out_of_memory import gigabytes
from core.training.plan import TrainingSettings
from core.training.plan_reasons import SPARE, gpus_reason, machine_name, memory_reasons, offers, problem, speed_up
from core.training.row_tokens import RowSet, folded
from core.training.sharing import can_share
from core.training.throughput import validation_operations
from core.training.ways import METHODS, Way, ways


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
    gpus: int = 1
    """That train together; memory and its budget are those of each."""
    nodes: int = 1
    """Machines they are spread over."""
    sharded: bool = False
    """Whether weights, gradients and moments are shared out among them (FSDP) instead of being whole on each (data parallel)."""
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
            "sharded": self.sharded,
            "micro_tokens": self.micro_tokens,
            "bytes": self.memory.total if self.memory is not None else None,
        }

    @property
    def sentence(self) -> str:
        """The plan in one or two sentences; what is not known is left out."""
        unique = f" of which {_millions(self.unique_tokens)} unique ({self.ratio:.1f} ×)" if self.shares else ""
        parts = [f"{self.rows:,} rows, {self.steps:,} steps, {_millions(self.tokens)} tokens{unique}"]
        if self.minutes is not None:
            price = f", {dollars_in_words(self.usd)}" if self.usd is not None else ""
            parts.append(f"about {minutes_in_words(self.minutes)} on {self.machine}{price}")
        if self.memory is not None:
            needed = gigabytes(self.memory.total)
            several = f"{self.gpus} GPUs" if self.gpus > 1 else f"{self.nodes} nodes" if self.nodes > 1 else ""
            each = f" on each of {several}" if several else ""
            parts.append(f"{needed} of {gigabytes(self.budget)}{each}" if self.budget else f"from {needed} of memory on{each}")
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
            name, rows.rows, steps, tokens, round(tokens / step.ratio), step.ratio, rows.longest, True, reasons=why,
            method=next((method for method in METHODS if method == settings.method), "lora"),
        )  # fmt: skip

    def ways_of(settings: TrainingSettings) -> list[Way]:
        return ways(facts, rows, settings, hardware, shares, tokens)

    possible = ways_of(settings)
    budget = round(hardware.memory * (1 - SPARE)) if hardware and hardware.memory else None
    fitting = [way for way in possible if budget is None or way.memory.total <= budget]
    if hardware is not None and not hardware.gpu and settings.method == "qlora":
        fitting = []
    plain = [way for way in fitting if way.method != "qlora"]
    whole_on_each = [way for way in plain if not way.sharded]
    if budget is None:  # the careful way that still shares all it can
        most = max(way.micro_rows for way in possible)
        best = min((way for way in whole_on_each or possible if way.micro_rows == most), key=lambda way: way.memory.total)
    else:
        best = min(whole_on_each or plain or fitting or possible, key=lambda way: _worth(way, bool(fitting)))
    fits = bool(fitting) if budget is not None or not fitting else None
    why |= memory_reasons(best, possible, settings, hardware, facts)
    operations = best.operations + validation_operations(facts, settings, validation, shares)
    minutes = usd = None
    if hardware is not None:
        why["minutes"] = hardware.why
        if hardware.count > 1:
            why["GPUs" if hardware.gpu else "nodes"] = gpus_reason(best, possible, hardware)
        if hardware.flops is not None and fits is not False:
            low, high = (speed * speed_up(hardware, best) for speed in hardware.flops)
            minutes = (operations / high / 60, operations / low / 60)
            if usd_per_hour is not None:
                usd = (minutes[0] / 60 * usd_per_hour, minutes[1] / 60 * usd_per_hour)
                why["usd"] = f"{usd_per_hour:g} US dollars an hour"
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
        gpus=hardware.count if hardware and hardware.gpu else 1,
        nodes=hardware.nodes if hardware else 1,
        sharded=best.sharded,
        checkpointed_layers=round(best.checkpointed * facts.layers),
        parameters=facts.parameters,
        memory=best.memory,
        machine=machine_name(hardware) if hardware else "",
        budget=hardware.memory if hardware and hardware.memory else None,
        fits=fits,
        minutes=minutes,
        usd=usd,
        problem=problem(best, ways_of, facts, settings, hardware, others) if fits is False and hardware else "",
        offers=offers(facts, best, settings, hardware, budget),
        reasons=why,
    )


def _worth(way: Way, fits: bool) -> tuple[float, float]:
    """Among ways that fit the quickest; among those that do not the smallest."""
    return (way.operations, -way.micro_rows) if fits else (way.memory.total, way.operations)


def _millions(count: int) -> str:
    return f"{count / 1e6:.1f} M" if count >= 50_000 else f"{count:,}"


def minutes_in_words(pair: Sequence[float] | None) -> str:
    """ "12–20 min"; "" for None."""
    if pair is None:
        return ""
    low, high = (f"{max(1, round(value))}" for value in pair)
    return f"{low} min" if low == high else f"{low}–{high} min"


def dollars_in_words(pair: Sequence[float] | None) -> str:
    """ "$4.10–6.90"; "" for None."""
    return f"${pair[0]:.2f}–{pair[1]:.2f}" if pair is not None else ""
