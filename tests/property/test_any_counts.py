"""What holds for every number of tests."""

from __future__ import annotations

import statistics

import pytest
import scipy.stats  # noqa: F401 - or its import would count as the time of the first example
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from core.evaluation import statistics as ours
from core.evaluation.statistics import decide, mcnemar, paired_difference, pass_hat, percentile, wilson

ORDER = {"fail": 0, "inconclusive": 1, "pass": 2}
confidences = st.sampled_from([0.8, 0.9, 0.95, 0.99])
minimums = st.sampled_from([0.0, 0.5, 0.8, 0.9, 0.95, 1.0]) | st.floats(0, 1)
counts = st.integers(1, 60).flatmap(lambda total: st.tuples(st.integers(0, total), st.just(total)))
cells = st.tuples(*[st.integers(0, 25)] * 4).filter(any)


@given(counts, confidences)
def test_an_interval_holds_the_rate_and_shrinks_with_confidence(count, confidence):
    passed, total = count
    narrow, wide = wilson(passed, total, confidence), wilson(passed, total, confidence + 0.005)
    assert 0 <= wide.low <= narrow.low <= passed / total <= narrow.high <= wide.high <= 1


@given(counts, confidences)
def test_failures_are_the_mirror_of_passes(count, confidence):
    passed, total = count
    here, there = wilson(passed, total, confidence), wilson(total - passed, total, confidence)
    assert (here.low, here.high) == (pytest.approx(1 - there.high), pytest.approx(1 - there.low))


@given(counts, minimums, minimums)
def test_what_passes_a_bar_passes_every_lower_one(count, one, other):
    low, high = sorted([one, other])
    assert ORDER[decide(*count, low)] >= ORDER[decide(*count, high)]


@given(counts, minimums)
def test_one_more_pass_never_makes_it_worse(count, minimum):
    passed, total = count
    assume(passed < total)
    assert ORDER[decide(passed + 1, total, minimum)] >= ORDER[decide(passed, total, minimum)]


@given(counts, minimums, st.sampled_from([0.8, 0.95]))
@example((43, 50), 0.8, 0.95)
@example((29, 31), 0.95, 0.8)
@example((4, 5), 0.8, 0.95)
@example((1, 60), 0.05, 0.95)
@example((0, 9), 5e-324, 0.95)
@settings(max_examples=60, deadline=None)
def test_tests_to_decide_is_what_trying_every_number_gives(count, minimum, confidence):
    passed, total = count
    assert ours.tests_to_decide(passed, total, minimum, confidence, most=400) == _tried(
        passed, total, minimum, confidence, 400
    )


def _tried(passed: int, total: int, minimum: float, confidence: float, most: int) -> int | None:
    """The same by trying; passes rounded towards the bar in whole numbers."""
    if decide(passed, total, minimum, confidence) != "inconclusive":
        return 0
    above = passed > total * minimum
    for more in range(1, most + 1):
        passes = passed * (total + more) // total if above else -(-passed * (total + more) // total)
        decision = decide(passes, total + more, minimum, confidence)
        if decision == ("pass" if above else "fail"):
            return more
    return None


@given(counts, minimums)
@settings(max_examples=60, deadline=None)
def test_what_is_decided_then_stays_decided(count, minimum):
    """At whole multiples, where nothing is rounded."""
    passed, total = count
    more = ours.tests_to_decide(passed, total, minimum)
    assume(more is not None)
    times = -(-(total + more) // total)
    decided = decide(times * passed, times * total, minimum)
    assert decided != "inconclusive"
    assert decide(3 * times * passed, 3 * times * total, minimum) == decided


@given(st.lists(st.integers(0, 6), min_size=1, max_size=20), st.integers(1, 5))
def test_passing_more_often_in_a_row_is_never_likelier(passes, k):
    assert 0 <= pass_hat(passes, 6, k + 1) <= pass_hat(passes, 6, k) <= 1
    assert pass_hat(passes, 6, 1) == pytest.approx(sum(passes) / (6 * len(passes)))


@given(st.integers(0, 40), st.integers(0, 40))
def test_mcnemar_is_a_chance_and_has_no_favourite(first, second):
    p = mcnemar(first, second)
    assert 0 < p <= 1
    assert p == pytest.approx(mcnemar(second, first))
    assert (p == 1) == (abs(first - second) <= 1)


@given(cells, confidences)
def test_a_paired_interval_holds_the_difference_and_turns_round_with_the_models(table, confidence):
    both, first, second, neither = table
    interval = paired_difference(both, first, second, neither, confidence)
    turned = paired_difference(both, second, first, neither, confidence)
    assert -1 <= interval.low <= (first - second) / sum(table) + 1e-12
    assert (first - second) / sum(table) - 1e-12 <= interval.high <= 1
    assert (interval.low, interval.high) == (pytest.approx(-turned.high), pytest.approx(-turned.low))
    failing = paired_difference(neither, first, second, both, confidence)
    assert (interval.low, interval.high) == (pytest.approx(failing.low), pytest.approx(failing.high))


@given(cells)
def test_more_of_the_same_narrows_a_paired_interval(table):
    here, more = paired_difference(*table), paired_difference(*(3 * count for count in table))
    assert here.low - 1e-12 <= more.low < more.high <= here.high + 1e-12
    assert more.high - more.low < here.high - here.low


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=50), st.integers(1, 99))
def test_percentiles_are_those_of_the_standard_library(values, q):
    wanted = statistics.quantiles(values, n=100, method="inclusive")[q - 1]
    assert percentile(values, q / 100) == pytest.approx(wanted, abs=1e-6)
