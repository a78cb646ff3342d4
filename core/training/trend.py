"""Whether a handful of points rises: slope and significance that one outlier cannot turn."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from math import factorial
from statistics import median


def theil_sen(points: Sequence[tuple[float, float]]) -> float:
    """Median slope of all pairs of points of different x (Theil 1950, Sen 1968), in y per x; 0 where there are none."""
    pairs = combinations(points, 2)
    slopes = [(after[1] - before[1]) / (after[0] - before[0]) for before, after in pairs if after[0] != before[0]]
    return median(slopes) if slopes else 0.0


def mann_kendall(values: Sequence[float]) -> float:
    """One-sided exact p (Mann 1945, Kendall 1948) that values in random order would rise as much as these; equal ones count as falling."""
    falls = sum(after <= before for before, after in combinations(values, 2))
    return sum(_orders(len(values))[: falls + 1]) / factorial(len(values))


def _orders(count: int) -> list[int]:
    """How many of all orders of so many values have 0, 1, 2, … pairs that fall."""
    found = [1]
    for number in range(2, count + 1):
        longer = [0] * (len(found) + number - 1)
        for falls, orders in enumerate(found):
            for more in range(number):
                longer[falls + more] += orders
        found = longer
    return found
