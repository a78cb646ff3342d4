"""What a number of tests can prove: intervals, decisions, paired comparisons. Shares are 0 to 1; pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, comb, floor, sqrt
from statistics import NormalDist
from typing import Literal

CONFIDENCE = 0.95
MOST_TESTS = 100_000
"""Beyond this many more tests, nobody writes them: as good as never."""

Decision = Literal["pass", "fail", "inconclusive"]


@dataclass(frozen=True)
class Interval:
    """Where the true value lies, with the confidence asked for."""

    low: float
    high: float


# One set of tests


def wilson(passed: int, total: int, confidence: float = CONFIDENCE) -> Interval:
    """Two-sided interval of a share by Wilson's score (1927); everything is possible where there was no test.

    Raises ValueError when `passed` is not within 0 to `total`.
    """
    if total == 0 and passed == 0:
        return Interval(0.0, 1.0)
    from scipy.stats import binomtest

    low, high = binomtest(passed, total).proportion_ci(confidence, method="wilson")
    return Interval(float(low), float(high))


def decide(passed: int, total: int, minimum: float, confidence: float = CONFIDENCE) -> Decision:
    """Whether the true pass rate reaches `minimum`: "pass" or "fail" when the whole interval lies on one side of it.

    What passes a bar passes every lower one. No test decides nothing. Any test passes a minimum of 0. A minimum of 1 is failed by one
    failed test, and never passed: no number of passed tests proves that the next one passes too.
    """
    interval = wilson(passed, total, confidence)
    if total and interval.low >= minimum and minimum < 1:
        return "pass"
    return "fail" if interval.high < minimum else "inconclusive"


def tests_to_decide(
    passed: int,
    total: int,
    minimum: float,
    confidence: float = CONFIDENCE,  # noqa: PT028
    most: int = MOST_TESTS,  # noqa: PT028
) -> int | None:
    """How many more tests at the observed rate would take the bar out of the interval; 0 when it is decided.

    Rates give no whole passes: they are rounded towards the bar, so that no decision is owed to rounding, and what is decided then
    stays so. None when the rate is the bar, nothing was tested, or `most` more tests would not do.
    """
    if decide(passed, total, minimum, confidence) != "inconclusive":
        return 0
    bar = Fraction(minimum)
    if total == 0 or (rate := Fraction(passed, total)) == bar:
        return None
    # The bar is an end of Wilson's interval where (passes - n·bar)² = z²·n·bar·(1 - bar): nothing below that n can be decided.
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    spread = (
        Fraction((1 - 1e-9) * z * z) * bar * (1 - bar)
    )  # a little less: scipy rounds as well, and has the last word
    first = floor(spread / (rate - bar) ** 2)
    for number in range(max(first, total + 1), total + most + 1):
        passes = floor(rate * number) if rate > bar else ceil(rate * number)
        far_enough = (passes - bar * number) ** 2 >= spread * number
        if far_enough and decide(passes, number, minimum, confidence) != "inconclusive":
            return number - total
    return None


def pass_hat(passes: Sequence[int], repeats: int, k: int) -> float:
    """The chance that `k` runs of a test all pass, mean over tests of C(passes, k) / C(repeats, k): pass^k of τ-bench (arXiv:2406.12045).

    `passes` says how often each test passed in `repeats` runs, 1 ≤ k ≤ repeats; 0 without tests. Raises ValueError outside of this.
    """
    if not 1 <= k <= repeats or any(not 0 <= count <= repeats for count in passes):
        raise ValueError(f"k = {k} and passes must lie within the {repeats} runs of each test")
    return sum(comb(count, k) for count in passes) / (comb(repeats, k) * len(passes)) if passes else 0.0


# Two models on the same tests


def mcnemar(only_first: int, only_second: int) -> float:
    """Exact two-sided p that two models are equally good, by the tests that only one of them passes; 1 without such tests."""
    if only_first == only_second == 0:
        return 1.0
    from scipy.stats import binomtest

    return float(binomtest(only_first, only_first + only_second).pvalue)


def paired_difference(
    both: float, only_first: float, only_second: float, neither: float, confidence: float = CONFIDENCE
) -> Interval:
    """Interval, -1 to 1, of the first model's pass rate less the second's, by the tests that both, one or none of them pass.

    Method 10 of Newcombe, "Improved confidence intervals for the difference between binomial proportions based on paired data", Statistics
    in Medicine 17 (1998): Wilson's distances to either end, squared and added less what the two have in common. Counts may be parts of
    whole ones, so that a larger set of the same kind can be imagined. Everything is possible without tests.
    """
    total = both + only_first + only_second + neither
    if not total:
        return Interval(-1.0, 1.0)
    first, second = (both + only_first) / total, (both + only_second) / total
    low_1, high_1 = _distances(first, total, confidence)
    low_2, high_2 = _distances(second, total, confidence)
    margins = (both + only_first) * (only_second + neither) * (both + only_second) * (only_first + neither)
    common = both * neither - only_first * only_second
    if common > 0:
        common = max(common - total / 2, 0)  # for continuity: a small sample shows more agreement than there is
    correlation = common / sqrt(margins) if margins else 0.0
    below = sqrt(max(low_1**2 - 2 * correlation * low_1 * high_2 + high_2**2, 0))
    above = sqrt(max(high_1**2 - 2 * correlation * high_1 * low_2 + low_2**2, 0))
    difference = (only_first - only_second) / total
    return Interval(max(-1.0, difference - below), min(1.0, difference + above))


def _distances(share: float, total: float, confidence: float) -> tuple[float, float]:
    """From a share down and up to the ends of Wilson's interval; scipy knows it for whole counts only."""
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    middle = (share + z * z / (2 * total)) / (1 + z * z / total)
    half = z * sqrt(share * (1 - share) / total + z * z / (4 * total * total)) / (1 + z * z / total)
    return max(0.0, share - middle + half), max(0.0, middle + half - share)


# Values


def percentile(values: Sequence[float], q: float) -> float | None:
    """The value below which a share `q` (0 to 1) of all lies, straight between neighbours (numpy's "linear", type 7 of Hyndman and Fan).

    None without values. Raises ValueError when `q` is no share.
    """
    if not values:
        return None
    import numpy

    return float(numpy.quantile(values, q))
