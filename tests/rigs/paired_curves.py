"""A run and the production run after it: the same settings on a few more rows, sound or derailed in a way of its own."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from core.training.metrics import Curves
from tests.rigs.curves import Run

Ideal = Callable[[float], float]


def offset(ideal: Ideal, draw: np.random.Generator) -> Ideal:
    """Higher all along: other prompts or labels than before."""
    times = draw.uniform(1.8, 4)
    return lambda time: times * ideal(time)


def plateau(ideal: Ideal, draw: np.random.Generator) -> Ideal:
    """Nothing more is learnt from some time on, when at least half of the loss was still to go."""
    latest = next(time for time in np.linspace(1, 0, 400) if ideal(time) > 2 * ideal(1.0))
    end = draw.uniform(0.3, 1) * latest
    return lambda time: ideal(min(time, end))


def late_rise(ideal: Ideal, draw: np.random.Generator) -> Ideal:
    """All well for long, then worse again."""
    begin, times = draw.uniform(0.5, 0.8), draw.uniform(2.5, 6)
    return lambda time: ideal(time) * (1 + (times - 1) * min(1.0, max(0.0, (time - begin) / 0.1)))


def half_the_learning(ideal: Ideal, draw: np.random.Generator) -> Ideal:
    """Half of what was learnt before."""
    return lambda time: ideal(0.0) - 0.5 * (ideal(0.0) - ideal(time))


DERAILED = {
    "offset": offset,
    "plateau": plateau,
    "late rise": late_rise,
    "half the learning": half_the_learning,
}


def pair(kind: str | None, seed: int) -> tuple[Curves, Curves, float]:
    """(training loss of a run, of the production run after it, passes over the rows); None for a sound one."""
    draw = np.random.default_rng([seed, *(kind or "sound").encode()])
    first = Run(draw)
    more = draw.uniform(1.05, 1.35)  # validation rows are learnt too
    second = replace(first, logs=round(first.logs * more))
    second.stride, second.epochs, second.schedule = first.stride, first.epochs, first.schedule
    second.noise, second.start = first.noise, first.start * draw.uniform(0.95, 1.05)
    speed, floor, depth = draw.uniform(5, 14), draw.uniform(0.05, 0.25), draw.uniform(0.75, 0.97)

    def learns(run: Run, speed: float, floor: float) -> Ideal:
        def ideal(time: float) -> float:
            stairs = depth ** math.floor(max(0.0, run.epochs * time - 1e-9))
            return (floor + (run.start - floor) * math.exp(-speed * run.spent(time))) * stairs

        return ideal

    before = learns(first, speed, floor)
    after = learns(second, speed * more * draw.uniform(0.95, 1.05), floor * draw.uniform(0.9, 1.1))
    derailed = DERAILED[kind](after, draw) if kind else after

    def none(time: float) -> float:
        return 0.0

    return first.curves(before, before, none, none), second.curves(derailed, derailed, none, none), float(first.epochs)
