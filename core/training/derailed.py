"""Whether a run's training loss follows that of an earlier run with the same settings on mostly the same rows.

A production run has no validation rows; what is left to watch is its training loss against a band of two standard deviations around the
earlier run's. Losses are compared as logarithms, since the noise of a log is a share of it, in windows of equal share of the run by
medians, which single batches of hard rows do not move.

The run has more rows and so more steps: at a share of the run it has learnt at least what the earlier had at that share, and at most what
the earlier had after as many steps. The band is as wide as that.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from core.training.metrics import Curves

LOGS_OF_A_WINDOW = 5
FEWEST_WINDOWS, MOST_WINDOWS = 4, 20
SDS = 2.0
"""Half the width of the band, in standard deviations."""
FAR_SDS = 4.0
"""Standard deviations outside which a single window is enough."""
RUN_SD = 0.08
"""Standard deviation of the logarithm of the loss between sound runs, beside the noise of their logs: other rows, in another order."""
SHIFT = 0.03
"""Share of the run by which one may be ahead of the other."""
NOTHING = 0.02
"""Nats a label that are added to losses: those far below are noise, whatever their ratio."""

_Points = Sequence[tuple[float, float]]
"""(share of the run, logarithm of the loss)."""


@dataclass(frozen=True)
class Comparison:
    """How a run's training loss lies beside an earlier one's."""

    followed: bool
    sentence: str
    """Where and by how much it left, or how far it was from that."""


@dataclass(frozen=True)
class _Window:
    """A part of the run in which the two are compared."""

    share: float
    """Its middle, 0 to 1."""
    found: float
    expected: float
    """Losses, nats a label."""
    outside: float
    """Standard deviations beyond what could be expected: above it if positive, below if negative, 0 within."""


def follows(later: Curves, earlier: Curves, passes: float | None = None) -> Comparison:
    """Compare the training loss of `later` with that of `earlier`. `passes` over the rows were planned for both; without it, both are
    taken to have come to their end."""
    new, old = _by_share(later, passes), _by_share(earlier, passes)
    end = min(new[-1][0], old[-1][0]) if new and old else 0.0
    new, old = ([point for point in points if point[0] <= end] for points in (new, old))
    if min(len(new), len(old)) < FEWEST_WINDOWS * LOGS_OF_A_WINDOW:
        return Comparison(True, f"{len(new)} and {len(old)} logs are too few to compare the curves")
    windows = _windows(new, old, end, max(1.0, _steps(later, passes) / _steps(earlier, passes)))
    left = _left(windows)
    if left is None:
        furthest = max(windows, key=lambda window: abs(window.outside))
        return Comparison(
            True, f"at most {abs(furthest.outside):.1f} sd away, at {100 * furthest.share:.0f} % of the run"
        )
    worst = max(left, key=lambda window: abs(window.outside))
    side = "above" if worst.outside > 0 else "below"
    return Comparison(
        False,
        f"left it at {100 * left[0].share:.0f} % of the run and was {worst.found:.3f} instead of {worst.expected:.3f} at "
        f"{100 * worst.share:.0f} % ({abs(worst.outside):.1f} sd {side})",
    )


def _by_share(curves: Curves, passes: float | None) -> _Points:
    """Training loss by share of the run; what is no number is left to the diagnosis."""
    steps = _steps(curves, passes)
    return [(step / steps, math.log(loss + NOTHING)) for step, loss in curves.train if math.isfinite(loss)]


def _steps(curves: Curves, passes: float | None) -> float:
    """Steps the run was planned to have: it may have been stopped before."""
    last, epoch = curves.train[-1][0] if curves.train else 1, curves.epoch[-1][1] if curves.epoch else 0.0
    return last * max(1.0, passes / epoch) if passes and epoch else last


def _windows(new: _Points, old: _Points, end: float, longer: float) -> list[_Window]:
    count = min(MOST_WINDOWS, min(len(new), len(old)) // LOGS_OF_A_WINDOW)
    edges = [(end * number / count, end * (number + 1) / count) for number in range(count)]
    parts = [([p for p in new if low < p[0] <= high], [p for p in old if low < p[0] <= high]) for low, high in edges]
    parts = [(here, there) for here, there in parts if here and there]
    curve = [(_middle(there, 0), _middle(there, 1)) for _, there in parts]
    noise = _noise(new), _noise(old)
    found = []
    for here, there in parts:
        sd = math.hypot(RUN_SD, _sd_of_median(noise[0], here), _sd_of_median(noise[1], there))
        above, below = [], []
        for share, loss in here:
            expected = [_at(curve, min(end, at)) for at in _between(share - SHIFT, share * longer + SHIFT)]
            above.append(loss - max(expected))
            below.append(loss - min(expected))
        outside = max(0.0, median(above)) + min(0.0, median(below))
        found.append(_Window(_middle(here, 0), math.exp(_middle(here, 1)), math.exp(_middle(there, 1)), outside / sd))
    return found


def _left(windows: Sequence[_Window]) -> list[_Window] | None:
    """The first windows in a row that lie outside the band on one side, a seventh of all or more; else the first that is far outside."""
    need = max(2, math.ceil(len(windows) / 7))
    for side in (1, -1):
        row: list[_Window] = []
        for window in [*windows, None]:
            if window is not None and side * window.outside > SDS:
                row.append(window)
                continue
            if len(row) >= need:
                return row
            row = []
    far = [window for window in windows if abs(window.outside) > FAR_SDS]
    return far[:1] or None


def _noise(points: _Points) -> float:
    """Robust standard deviation of a log about its curve, from the differences of neighbours."""
    steps = [after - before for (_, before), (_, after) in pairwise(points)]
    middle = median(steps)
    return 1.4826 * median(abs(step - middle) for step in steps) / math.sqrt(2)


def _sd_of_median(noise: float, points: _Points) -> float:
    """Standard deviation of the median of normal values."""
    return noise * math.sqrt(math.pi / 2 / len(points))


def _middle(points: _Points, of: int) -> float:
    return median(point[of] for point in points)


def _between(low: float, high: float) -> list[float]:
    return [low + (high - low) * number / 8 for number in range(9)]


def _at(curve: _Points, share: float) -> float:
    """A curve of few points at a share, straight between them and on beyond them."""
    (start, low), (stop, high) = next((pair for pair in pairwise(curve) if share <= pair[1][0]), (curve[-2], curve[-1]))
    return low + (high - low) * (share - start) / (stop - start)
