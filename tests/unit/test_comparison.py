"""A tuned model beside the strong one."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from core.evaluation.comparison import Comparison, compare
from core.evaluation.statistics import Interval, mcnemar, paired_difference


def results(both: int, only_tuned: int, only_strong: int, neither: int) -> tuple[dict[str, bool], dict[str, bool]]:
    """What either model passes, by test."""
    kinds = [(True, True)] * both + [(True, False)] * only_tuned + [(False, True)] * only_strong
    kinds += [(False, False)] * neither
    tuned = {f"e2e.yml::test {at}": first for at, (first, _) in enumerate(kinds)}
    return tuned, {f"e2e.yml::test {at}": second for at, (_, second) in enumerate(kinds)}


def compared(*cells: int, margin: float = 0.1) -> Comparison:
    return compare(*results(*cells), "gpt-4o", margin)


def test_what_an_owner_reads():
    comparison = compared(28, 1, 3, 1)
    assert (comparison.tuned_passed, comparison.strong_passed, comparison.tests) == (29, 31, 33)
    assert comparison.verdict == "inconclusive"
    assert comparison.sentence == (
        "tuned passes 29 of 33, gpt-4o 31 of 33; difference −6.1 points (95 %: −21.5 to 8.7); comparable within 10 points: not decided"
    )
    assert comparison.p_value == mcnemar(1, 3)
    assert comparison.interval == paired_difference(28, 1, 3, 1)


@pytest.mark.parametrize(
    ("cells", "margin", "verdict", "end"),
    [
        ((95, 2, 1, 2), 0.05, "pass", "comparable within 5 points: yes"),
        ((60, 0, 30, 10), 0.1, "fail", "comparable within 10 points: no"),
        ((9, 0, 1, 0), 0.1, "inconclusive", "comparable within 10 points: not decided"),
        ((40, 30, 5, 25), 0.0, "pass", "comparable within 0 points: yes"),
        ((10, 0, 0, 0), 0.07, "inconclusive", "comparable within 7 points: not decided"),
    ],
)
def test_verdicts(cells, margin, verdict, end):
    comparison = compared(*cells, margin=margin)
    assert comparison.verdict == verdict
    assert comparison.sentence.endswith(end)


def test_the_verdict_depends_on_where_the_interval_lies():
    low = compared(95, 2, 5, 2, margin=0.05).interval.low
    assert compared(95, 2, 5, 2, margin=-low).verdict == "inconclusive"
    assert compared(95, 2, 5, 2, margin=-low + 1e-9).verdict == "pass"
    high = compared(60, 0, 30, 10).interval.high
    assert compared(60, 0, 30, 10, margin=-high).verdict == "inconclusive"
    assert compared(60, 0, 30, 10, margin=-high - 1e-9).verdict == "fail"


def test_tests_of_one_model_only_are_left_out_and_told():
    tuned, strong = results(5, 1, 0, 2)
    more = compare({**tuned, "new": True, "newer": False}, {**strong, "old": True}, "gpt-4o", 0.1)
    assert (more.both, more.only_tuned, more.only_strong, more.neither, more.left_out) == (5, 1, 0, 2, 3)
    assert more.interval == compare(tuned, strong, "gpt-4o", 0.1).interval
    assert more.sentence.endswith("; 3 tests that only one of the models ran, left out")


def test_nothing_in_common():
    nothing = compare({"a": True}, {}, "gpt-4o", 0.1)
    assert (nothing.verdict, nothing.interval, nothing.p_value) == ("inconclusive", Interval(-1.0, 1.0), 1.0)
    assert nothing.sentence == (
        "no test was run by both the tuned model and gpt-4o; 1 test that only one of the models ran"
    )
    assert nothing.more_tests() is None
    assert compare({}, {}, "gpt-4o", 0.1).sentence == "no test was run by both the tuned model and gpt-4o"


def test_no_difference_has_no_sign():
    assert "difference 0.0 points (95 %: −" in compared(5, 1, 1, 0).sentence


def test_facts_give_the_comparison_back():
    comparison = compared(28, 1, 3, 1)
    facts = json.loads(json.dumps(comparison.facts))
    assert facts["verdict"] == "inconclusive"
    assert (facts["tests"], facts["tuned_passed"], facts["strong_passed"]) == (33, 29, 31)
    assert Comparison.from_facts(facts) == comparison


@pytest.mark.parametrize(
    ("cells", "margin"), [((95, 2, 1, 2), 0.05), ((60, 0, 30, 10), 0.1)], ids=["comparable", "worse"]
)
def test_what_is_decided_needs_no_more_tests(cells, margin):
    assert compared(*cells, margin=margin).more_tests() == 0


@pytest.mark.parametrize(("cells", "margin"), [((9, 0, 1, 0), 0.1), ((5, 1, 1, 3), 0.0), ((5, 0, 0, 3), 0.0)])
def test_a_difference_that_is_the_margin_is_never_decided(cells, margin):
    assert compared(*cells, margin=margin).more_tests() is None


def test_no_more_than_the_most_tests():
    comparison = compared(28, 1, 3, 1)
    more = comparison.more_tests()
    assert comparison.more_tests(more) == more
    assert comparison.more_tests(more - 1) is None


@given(st.tuples(*[st.integers(0, 20)] * 4).filter(any), st.sampled_from([0.0, 0.02, 0.05, 0.1, 0.2]))
@example((28, 1, 3, 1), 0.1)
@example((10, 0, 0, 0), 0.1)
@example((1, 0, 0, 0), 0.02)
@settings(max_examples=80, deadline=None)
def test_more_tests_is_what_trying_every_number_gives(cells, margin):
    comparison = compared(*cells, margin=margin)
    assert comparison.more_tests(600) == _tried(comparison, 600)


def _tried(comparison: Comparison, most: int) -> int | None:
    cells = (comparison.both, comparison.only_tuned, comparison.only_strong, comparison.neither)
    for more in range(most + 1):
        interval = paired_difference(*((1 + more / comparison.tests) * count for count in cells))
        if interval.low > -comparison.margin or interval.high < -comparison.margin:
            return more
    return None
