"""Points of a curve, and the extremes of each column of a picture of them, however many points there are."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple


class Column(NamedTuple):
    """Points that share a column of dots."""

    x: int
    low: float
    high: float
    last: float


@dataclass
class Curve:
    """Points of one series, in order of the step."""

    steps: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)

    def add(self, step: int, value: float) -> None:
        self.steps.append(step)
        self.values.append(value)

    def ends_before(self, step: int) -> bool:
        return not self.steps or self.steps[-1] < step

    def columns(self, first: int, last: int, count: int, until: int | None = None) -> list[Column]:
        """The points from step `first` to `last` in `count` columns, those without a point left out; none beyond `until`.

        Takes a binary search a column and the built-in min and max between them: 10,000 points cost a millisecond.
        """
        end = bisect_right(self.steps, last if until is None else min(last, until))
        at = bisect_left(self.steps, first)
        found = []
        while at < end:
            x = column_of(self.steps[at], first, last, count)
            following = bisect_left(self.steps, _first_step_right_of(x, first, last, count), at + 1, end)
            part = self.values[at:following]
            found.append(Column(x, min(part), max(part), part[-1]))
            at = following
        return found

    def joined(self, first: int, last: int, count: int, until: int | None = None) -> list[Column]:
        """As `columns`, for a line: it goes on to the edges of the picture when there are points beyond them."""
        found = self.columns(first, last, count, until)
        for x, step, there in ((0, first, found[:1]), (count - 1, last, found[-1:])):
            value = None if until is not None and step > until else self._between(step)
            if value is not None and not (there and there[0].x == x):
                found.insert(0 if x == 0 else len(found), Column(x, value, value, value))
        return found

    def _between(self, step: int) -> float | None:
        """The value on the straight line between the points around a step; None where it has not one on each side."""
        after = bisect_left(self.steps, step)
        if not 0 < after < len(self.steps):
            return None
        share = (step - self.steps[after - 1]) / (self.steps[after] - self.steps[after - 1])
        return self.values[after - 1] + share * (self.values[after] - self.values[after - 1])

    def beyond(self, step: int, way: int) -> int:
        """The first step at or right of `step` (`way` 1), the last at or left of it (-1); the end of the curve where there is none."""
        found = bisect_left(self.steps, step) if way > 0 else bisect_right(self.steps, step) - 1
        return self.steps[min(max(0, found), len(self.steps) - 1)]

    def at(self, step: int) -> tuple[int, float] | None:
        """(step, value) of the last point that is not after a step, else of the first; None without points."""
        if not self.steps:
            return None
        found = max(0, bisect_right(self.steps, step) - 1)
        return self.steps[found], self.values[found]

    def nearest(self, step: int) -> tuple[int, float] | None:
        """(step, value) of the point nearest to a step; None without points."""
        if not self.steps:
            return None
        after = bisect_left(self.steps, step)
        near = [at for at in (after - 1, after) if 0 <= at < len(self.steps)]
        found = min(near, key=lambda at: abs(self.steps[at] - step))
        return self.steps[found], self.values[found]

    def best(self, until: int | None = None) -> tuple[int, float] | None:
        """(step, value) of the lowest point, the first of equals; None without points."""
        end = len(self.steps) if until is None else bisect_right(self.steps, until)
        if not end:
            return None
        lowest = min(self.values[:end])
        return self.steps[self.values.index(lowest)], lowest


class Average:
    """An exponential moving average that takes one value after the other, corrected for its beginning."""

    def __init__(self, weight: float) -> None:
        """`weight` of what was before, from 0 (no average) to below 1."""
        self._weight, self._sum, self._total = weight, 0.0, 0.0

    def add(self, value: float) -> float:
        self._sum = self._weight * self._sum + (1 - self._weight) * value
        self._total = self._weight * self._total + (1 - self._weight)
        return self._sum / self._total


def column_of(step: int, first: int, last: int, count: int) -> int:
    """The column of a step when `first` is in column 0 and `last` in the last of `count`."""
    return round((step - first) / max(1, last - first) * (count - 1))


def step_in(column: int, first: int, last: int, count: int) -> int:
    """The step in the middle of a column."""
    return first + round(column / max(1, count - 1) * (last - first))


def _first_step_right_of(column: int, first: int, last: int, count: int) -> int:
    """The first step that lies beyond a column."""
    step = first + int((column + 0.5) / max(1, count - 1) * max(1, last - first))
    while column_of(step, first, last, count) <= column:
        step += 1
    return step


def summarise(training: Curve, validation: Curve) -> str:
    """ "train 0.354 falling, validation 0.470 flat, best 0.465 at step 800" """
    parts = []
    for name, curve in (("train", training), ("validation", validation)):
        if curve.values:
            parts.append(f"{name} {curve.values[-1]:.3f} {_trend(curve.values)}")
    if (best := validation.best()) is not None:
        parts.append(f"best {best[1]:.3f} at step {best[0]}")
    return ", ".join(parts) or "no points yet"


def _trend(values: Sequence[float]) -> str:
    """The mean of the last fifth against the fifth before it, 2 % apart or not."""
    part = max(1, len(values) // 5)
    if len(values) < 2 * part:
        return "just begun"
    now, before = sum(values[-part:]) / part, sum(values[-2 * part : -part]) / part
    return "falling" if now < 0.98 * before else "rising" if now > 1.02 * before else "flat"
