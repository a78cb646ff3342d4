"""What a running step reports. Fronts subscribe; none of them holds logic of the recipe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Progress:
    done: float
    total: float
    unit: str
    """Plural noun: tests, rows, steps, conversations."""
    eta_seconds: float | None = None
    label: str = ""
    """What is being worked on, e.g. "training", "validation tests"."""


@dataclass(frozen=True, slots=True)
class Log:
    line: str


@dataclass(frozen=True, slots=True)
class Metric:
    """A point on a curve."""

    step: int
    values: Mapping[str, float]
    """loss, eval_loss, learning_rate, tokens_per_second, …"""


@dataclass(frozen=True, slots=True)
class Cost:
    usd: float
    """Spent so far by this step."""


@dataclass(frozen=True, slots=True)
class Notice:
    level: Literal["info", "warning", "error"]
    text: str


@dataclass(frozen=True, slots=True)
class MachineCost:
    """What rented machines cost, told now and then while they are there."""

    usd: float
    """All machines of the session so far."""
    usd_per_hour: float
    """Those that run now."""
    budget: float | None = None
    """US dollars at which they are ended."""


StepEvent = Progress | Log | Metric | Cost | MachineCost | Notice
