"""Intervals, decisions and paired comparisons, against published numbers and another library."""

from __future__ import annotations

from functools import cache
from math import comb, isclose

import pytest
from statsmodels.stats.contingency_tables import mcnemar as other_mcnemar
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

from core.evaluation import statistics as ours  # pytest would run tests_to_decide
from core.evaluation.statistics import (
    Interval,
    decide,
    mcnemar,
    paired_difference,
    pass_hat,
    percentile,
    wilson,
)

# One set of tests


@pytest.mark.parametrize(
    ("passed", "total", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_published_intervals(passed, total, low, high):
    """Table I of Newcombe, "Two-sided confidence intervals for the single proportion", Statistics in Medicine 17 (1998), method 3."""
    interval = wilson(passed, total)
    assert (round(interval.low, 4), round(interval.high, 4)) == (low, high)


@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.99])
@pytest.mark.parametrize(("passed", "total"), [(0, 1), (1, 1), (3, 7), (199, 200), (200, 200), (85, 100)])
def test_another_library_gives_the_same_interval(passed, total, confidence):
    interval = wilson(passed, total, confidence)
    low, high = proportion_confint(passed, total, 1 - confidence, method="wilson")
    assert interval.low == pytest.approx(low, abs=1e-12)
    assert interval.high == pytest.approx(high, abs=1e-12)


def test_without_tests_everything_is_possible():
    assert wilson(0, 0) == Interval(0.0, 1.0)
    assert [decide(0, 0, minimum) for minimum in (0.0, 0.8, 1.0)] == ["inconclusive"] * 3


@pytest.mark.parametrize(("passed", "total"), [(2, 1), (-1, 4), (1, 0)])
def test_more_passes_than_tests_are_refused(passed, total):
    with pytest.raises(ValueError, match=r"."):
        wilson(passed, total)


@pytest.mark.parametrize(
    ("total", "minimum", "needed"),
    [
        (20, 0.80, 20),
        (50, 0.80, 46),
        (100, 0.80, 88),
        (200, 0.80, 172),
        (400, 0.80, 336),
        (20, 0.95, None),
        (50, 0.95, None),
        (100, 0.95, 100),
        (200, 0.95, 197),
        (400, 0.95, 389),
    ],
)
def test_passes_that_prove_the_bars_of_the_recipe(total, minimum, needed):
    passing = [passed for passed in range(total + 1) if decide(passed, total, minimum) == "pass"]
    assert (passing[0] if passing else None) == needed


@pytest.mark.parametrize(
    ("passed", "total", "minimum", "decision"),
    [
        (46, 50, 0.8, "pass"),
        (45, 50, 0.8, "inconclusive"),
        (35, 50, 0.8, "inconclusive"),
        (34, 50, 0.8, "fail"),
        (0, 3, 0.0, "pass"),
        (50, 50, 1.0, "inconclusive"),
        (49, 50, 1.0, "fail"),
        (0, 1, 1.0, "fail"),
    ],
)
def test_decisions(passed, total, minimum, decision):
    assert decide(passed, total, minimum) == decision


def test_less_confidence_decides_sooner():
    assert decide(44, 50, 0.8) == "inconclusive"
    assert decide(44, 50, 0.8, confidence=0.8) == "pass"


@pytest.mark.parametrize(
    ("passed", "total", "minimum", "more"),
    [
        (46, 50, 0.8, 0),
        (33, 50, 0.8, 0),
        (50, 50, 1.0, None),
        (0, 0, 0.8, None),
        (4, 5, 0.8, None),
        (1, 2, 0.5, None),
        (9_001, 11_250, 0.8, None),
    ],
)
def test_decided_already_or_never(passed, total, minimum, more):
    assert ours.tests_to_decide(passed, total, minimum) == more


def test_the_number_of_tests_of_an_example():
    """43 of 50 are 86 %: the bar of 80 % ends the interval at 1.96² · 0.8 · 0.2 / 0.06² = 170.7 tests, with whole passes at 178."""
    assert ours.tests_to_decide(43, 50, 0.8) == 128
    assert [decide(passed, 178, 0.8) for passed in (152, 153)] == ["inconclusive", "pass"]


def test_no_more_than_the_most_tests():
    more = ours.tests_to_decide(43, 50, 0.8)
    assert ours.tests_to_decide(43, 50, 0.8, most=more) == more
    assert ours.tests_to_decide(43, 50, 0.8, most=more - 1) is None


def test_chances_of_passing_every_time():
    """C(c, k) / C(n, k) by hand: 4 of 4, 3 of 4, 1 of 4 runs passed."""
    assert pass_hat([4, 3, 1], 4, 1) == pytest.approx((1 + 3 / 4 + 1 / 4) / 3)
    assert pass_hat([4, 3, 1], 4, 2) == pytest.approx((1 + 3 / 6 + 0) / 3)
    assert pass_hat([4, 3, 1], 4, 4) == pytest.approx(1 / 3)
    assert pass_hat([], 4, 2) == 0.0


@pytest.mark.parametrize(("passes", "repeats", "k"), [([1], 3, 0), ([1], 3, 4), ([4], 3, 1), ([-1], 3, 1), ([], 0, 1)])
def test_impossible_repeats_are_refused(passes, repeats, k):
    with pytest.raises(ValueError, match="runs of each test"):
        pass_hat(passes, repeats, k)


# Two models on the same tests


@pytest.mark.parametrize(
    ("first", "second", "p"),
    [(5, 0, 0.0625), (6, 0, 0.03125), (10, 3, 0.0923), (15, 5, 0.0414), (0, 0, 1.0), (4, 4, 1.0)],
)
def test_exact_mcnemar(first, second, p):
    assert mcnemar(first, second) == pytest.approx(p, abs=5e-5)
    assert mcnemar(second, first) == mcnemar(first, second)


@pytest.mark.parametrize(("first", "second"), [(5, 0), (10, 3), (15, 5), (1, 1), (7, 20)])
def test_another_library_gives_the_same_p(first, second):
    assert mcnemar(first, second) == pytest.approx(other_mcnemar([[9, first], [second, 2]], exact=True).pvalue)


@pytest.mark.parametrize(
    ("cells", "low", "high"),
    [
        # Altman, Machin, Bryant and Gardner, Statistics with Confidence, 2nd edition (2000), chapter 6 (by Newcombe and Altman)
        ((14, 5, 0, 22), 0.011, 0.226),
        # Fagerland, Lydersen and Laake, Statistics in Medicine 33 (2014): airway hyper-responsiveness of 21 children
        ((1, 1, 7, 12), -0.507, -0.026),
    ],
)
def test_published_paired_intervals(cells, low, high):
    interval = paired_difference(*cells)
    assert (round(interval.low, 3), round(interval.high, 3)) == (low, high)


@pytest.mark.parametrize("cells", [(5, 5, 8, 9), (9, 5, 8, 5), (24, 24, 8, 9), (5, 24, 5, 24)])
def test_results_that_have_nothing_in_common_are_compared_as_two_groups(cells):
    """Where the correlation is 0 after its correction, the method is Newcombe's for independent groups, which statsmodels has."""
    both, only_first, only_second, neither = cells
    total = sum(cells)
    assert 0 <= both * neither - only_first * only_second <= total / 2
    interval = paired_difference(*cells)
    low, high = confint_proportions_2indep(both + only_first, total, both + only_second, total, method="newcomb")
    assert (interval.low, interval.high) == (pytest.approx(low, abs=1e-9), pytest.approx(high, abs=1e-9))


@pytest.mark.parametrize("cells", [(9, 0, 0, 0), (0, 9, 0, 0), (0, 0, 9, 0), (0, 0, 0, 9), (5, 0, 0, 4), (0, 5, 4, 0)])
def test_empty_cells_of_a_paired_comparison(cells):
    interval = paired_difference(*cells)
    difference = (cells[1] - cells[2]) / 9
    assert -1 <= interval.low <= difference <= interval.high <= 1
    assert interval.low < interval.high


def test_a_comparison_without_tests_says_nothing():
    assert paired_difference(0, 0, 0, 0) == Interval(-1.0, 1.0)


@pytest.mark.parametrize(
    "shares", [(0.7, 0.1, 0.1, 0.1), (0.85, 0.05, 0.08, 0.02), (0.4, 0.3, 0.1, 0.2), (0.9, 0.04, 0.04, 0.02)]
)
def test_the_paired_interval_holds_the_truth_as_often_as_it_says(shares):
    """Exact: the chances of all tables of 30 tests whose interval holds the true difference, added up."""
    truth = shares[1] - shares[2]
    covered = sum(
        _chance(cells, shares) for cells, interval in _intervals(30) if interval.low <= truth <= interval.high
    )
    assert 0.935 <= covered <= 0.999


@cache
def _intervals(total: int) -> list[tuple[tuple[int, ...], Interval]]:
    tables = [
        (both, first, second, total - both - first - second)
        for both in range(total + 1)
        for first in range(total + 1 - both)
        for second in range(total + 1 - both - first)
    ]
    return [(cells, paired_difference(*cells)) for cells in tables]


def _chance(cells: tuple[int, ...], shares: tuple[float, ...]) -> float:
    ways, left, chance = 1, sum(cells), 1.0
    for count, share in zip(cells, shares, strict=True):
        ways, left, chance = ways * comb(left, count), left - count, chance * share**count
    return ways * chance


def test_the_chances_of_all_tables_are_one():
    assert isclose(sum(_chance(cells, (0.7, 0.1, 0.1, 0.1)) for cells, _ in _intervals(30)), 1.0)


# Values


def test_percentiles_lie_straight_between_neighbours():
    assert percentile([4.0, 1.0, 3.0, 2.0], 0.5) == 2.5
    assert percentile([1.0, 2.0, 3.0, 4.0, 5.0], 0.9) == pytest.approx(4.6)
    assert [percentile([3.0, 1.0, 2.0], q) for q in (0.0, 1.0)] == [1.0, 3.0]
    assert percentile([7.0], 0.95) == 7.0
    assert percentile([], 0.5) is None
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        percentile([1.0], 95)
