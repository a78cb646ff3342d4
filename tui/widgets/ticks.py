"""Round numbers along an axis, and how they are written."""

from __future__ import annotations

import math
from collections.abc import Iterator

MOST_DIGITS = 6
"""Significant digits a label may have; losses closer together than that get the nearest label."""


def ticks(low: float, high: float, most: int) -> list[float]:
    """At most `most` (2 or more) multiples of 1, 2 or 5 times a power of ten between two ends, as many as fit."""
    if not high > low:
        return [low]
    step = _steps((high - low) / max(1, most))
    while True:
        size = next(step)
        first, last = math.ceil(low / size - 1e-9), math.floor(high / size + 1e-9)
        if last - first < most:
            return [_exact(number * size) for number in range(first, last + 1)]


def whole_ticks(low: int, high: int, most: int) -> list[int]:
    """As `ticks`, of whole numbers: steps."""
    return sorted({round(tick) for tick in ticks(low, high, most) if tick == round(tick)}) or [low]


def log_ticks(low: float, high: float, most: int) -> list[float]:
    """Round numbers between two ends above 0 for an axis of logarithms: powers of ten, with 2 and 5 or 3 times them where there is room."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for factors in ((1, 2, 5), (1, 3), (1,)):
        found = [_exact(factor * 10.0**power) for power in decades for factor in factors]
        found = [tick for tick in found if low * (1 - 1e-9) <= tick <= high * (1 + 1e-9)]
        if 2 <= len(found) <= most:
            return found
    if len(found) > most:
        return found[:: math.ceil(len(found) / most)]
    return [tick for tick in ticks(low, high, most) if tick > 0]


def labels(values: list[float]) -> list[str]:
    """Numbers with as many decimals as tell them apart: 0.30, 0.35; in full where they are whole."""
    for decimals in range(MOST_DIGITS):
        found = [f"{value:.{decimals}f}" for value in values]
        if all(math.isclose(float(text), value, rel_tol=1e-6, abs_tol=1e-12) for text, value in zip(found, values, strict=True)):
            return [f"{value:,.0f}" for value in values] if decimals == 0 else found
    return [f"{value:.3g}" for value in values]


def _steps(least: float) -> Iterator[float]:
    """1, 2 and 5 times powers of ten, from about `least` on."""
    power = math.floor(math.log10(least)) if least > 0 else 0
    while True:
        for factor in (1, 2, 5):
            size = factor * 10.0**power
            if size >= least * (1 - 1e-9):
                yield size
        power += 1


def _exact(value: float) -> float:
    """Without what binary fractions add: 0.30000000000000004 is 0.3."""
    return float(f"{value:.12g}")
