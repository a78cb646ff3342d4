"""The points of a training run, from its event stream."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Curves:
    """Training and validation loss by step, and the share of validation rows written exactly."""

    train: list[tuple[int, float]] = field(default_factory=list)
    validation: list[tuple[int, float]] = field(default_factory=list)
    exact: list[tuple[int, float]] = field(default_factory=list)

    def add(self, event: Mapping[str, Any]) -> None:
        """Take over one metric event; after a resume, points of repeated steps replace the earlier ones."""
        step, values = int(event["step"]), event["values"]
        for name, curve in (("loss", self.train), ("eval_loss", self.validation), ("eval_exact_match", self.exact)):
            if name in values:
                while curve and curve[-1][0] >= step:
                    curve.pop()
                curve.append((step, float(values[name])))

    @property
    def best(self) -> tuple[int, float] | None:
        """(step, loss) of the lowest validation loss."""
        return min(self.validation, key=lambda point: point[1], default=None)


def curves_of(events: Iterable[Mapping[str, Any]]) -> Curves:
    """Curves of an event stream; other events are passed over."""
    curves = Curves()
    for event in events:
        if event.get("type") == "metric":
            curves.add(event)
    return curves


def averaged(values: Iterable[float], weight: float = 0.9) -> list[float]:
    """Exponential moving average, corrected for its beginning; values that are no numbers are kept as they are."""
    found: list[float] = []
    sum_, total = 0.0, 0.0
    for value in values:
        if not math.isfinite(value):
            found.append(value)
            continue
        sum_, total = weight * sum_ + (1 - weight) * value, weight * total + (1 - weight)
        found.append(sum_ / total)
    return found
