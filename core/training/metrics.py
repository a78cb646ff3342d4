"""The points of a training run, from its event stream."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Points = list[tuple[int, float]]
"""(optimizer step, value), in order of the step."""

_NAMES = {
    "train": "loss",
    "validation": "eval_loss",
    "exact": "eval_exact_match",
    "accuracy": "eval_token_accuracy",
    "grad_norm": "grad_norm",
    "learning_rate": "learning_rate",
    "epoch": "epoch",
}
"""Curve → its name in metric events; older runs do not have all of them."""


@dataclass
class Curves:
    """What a run measured, by step; losses in nats a label."""

    train: Points = field(default_factory=list)
    validation: Points = field(default_factory=list)
    exact: Points = field(default_factory=list)
    """Share of validation rows written exactly, 0 to 1."""
    accuracy: Points = field(default_factory=list)
    """Share of validation labels that are the likeliest token, 0 to 1."""
    grad_norm: Points = field(default_factory=list)
    """Norm of the gradient before it is clipped."""
    learning_rate: Points = field(default_factory=list)
    epoch: Points = field(default_factory=list)

    def add(self, event: Mapping[str, Any]) -> None:
        """Take over one metric event; after a resume, points of repeated steps replace the earlier ones."""
        step, values = int(event["step"]), event["values"]
        for name, told in _NAMES.items():
            if told in values:
                curve: Points = getattr(self, name)
                while curve and curve[-1][0] >= step:
                    curve.pop()
                curve.append((step, float(values[told])))

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


def read_curves(path: Path) -> Curves:
    """Curves of a metrics.jsonl, whose lines are {"step", and values by name}."""
    curves = Curves()
    for line in path.read_text(encoding="utf-8").splitlines():
        values = json.loads(line)
        curves.add({"step": values.pop("step"), "values": values})
    return curves


class MetricsFile:
    """A metrics.jsonl as it grows; of steps that are done again, after a resume or a rollback, only the later lines stay."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")
        self._lines: list[tuple[int, frozenset[str], int]] = []
        """Of each line its step, the names of its values, and where it begins."""

    def __enter__(self) -> MetricsFile:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def add(self, step: int, values: Mapping[str, Any]) -> None:
        names = frozenset(values)
        again = len(self._lines)
        for at in range(len(self._lines) - 1, -1, -1):
            done, told, _ = self._lines[at]
            if done < step:
                break
            if done > step or told & names:
                again = at
        if again < len(self._lines):
            self._file.truncate(self._lines[again][2])
            del self._lines[again:]
        self._file.seek(0, os.SEEK_END)
        self._lines.append((step, names, self._file.tell()))
        self._file.write(json.dumps({"step": step, **values}).encode() + b"\n")


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
