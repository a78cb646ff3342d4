"""Curves, their columns and the round numbers beside them."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui.widgets.braille import BrailleCanvas, has_braille
from tui.widgets.curve import Average, Curve, column_of
from tui.widgets.ticks import labels, log_ticks, ticks, whole_ticks

LOSS = st.floats(1e-4, 20)


@given(st.dictionaries(st.integers(0, 5000), LOSS, min_size=1), st.integers(2, 300), st.data())
def test_columns_hold_the_extremes_of_every_point_in_view_and_no_other(points, count, data):
    steps = sorted(points)
    curve = Curve(steps, [points[step] for step in steps])
    first = data.draw(st.integers(0, 5000))
    last = data.draw(st.integers(first + 1, 5001))
    expected: dict[int, list[float]] = {}
    for step in steps:
        if first <= step <= last:
            expected.setdefault(column_of(step, first, last, count), []).append(points[step])
    found = curve.columns(first, last, count)
    assert [(at.x, at.low, at.high, at.last) for at in found] == [
        (x, min(values), max(values), values[-1]) for x, values in expected.items()
    ]


def test_a_line_goes_on_to_the_edges_of_a_part():
    curve = Curve([0, 100, 200], [3.0, 2.0, 1.0])
    assert [(at.x, at.last) for at in curve.joined(50, 150, 11)] == [(0, 2.5), (5, 2.0), (10, 1.5)]
    assert [(at.x, at.last) for at in curve.joined(110, 190, 11)] == [(0, pytest.approx(1.9)), (10, pytest.approx(1.1))]
    assert [at.x for at in curve.joined(0, 400, 5)] == [0, 1, 2]


@given(st.lists(LOSS, min_size=1, max_size=200), st.sampled_from([0.0, 0.6, 0.97]))
def test_the_average_taken_one_by_one_is_the_weighted_mean_of_all(values, weight):
    average = Average(weight)
    found = [average.add(value) for value in values]
    weights = [weight ** (len(values) - 1 - at) for at in range(len(values))]
    assert found[-1] == pytest.approx(sum(w * v for w, v in zip(weights, values, strict=True)) / sum(weights))


@given(st.floats(0, 1e4), st.floats(1e-6, 1e5), st.integers(2, 12))
def test_ticks_are_round_few_and_within(low, size, most):
    high = low + size
    found = ticks(low, high, most)
    assert len(found) <= most
    assert all(low - 1e-9 * high <= tick <= high * (1 + 1e-9) for tick in found)
    if len(found) > 1:
        digit = f"{found[1] - found[0]:e}"[0]
        assert digit in "125" or math.isclose(found[1] - found[0], float(f"{found[1] - found[0]:.0e}"), rel_tol=1e-3)
    assert len(set(labels(found))) == len(found) or size < 1e-5 * high


@given(st.floats(1e-6, 10), st.floats(1.5, 1e6), st.integers(3, 12))
def test_ticks_of_a_logarithmic_axis_are_few_and_within(low, times, most):
    found = log_ticks(low, low * times, most)
    assert 1 <= len(found) <= most or times < 4
    assert all(low * (1 - 1e-6) <= tick <= low * times * (1 + 1e-6) for tick in found)


def test_steps_are_labelled_with_whole_numbers():
    assert whole_ticks(0, 91, 5) == [0, 20, 40, 60, 80]
    assert whole_ticks(3, 5, 8) == [3, 4, 5]
    assert whole_ticks(7, 7, 4) == [7]
    assert labels([0.3, 0.35, 0.4]) == ["0.30", "0.35", "0.40"]
    assert labels([0.0, 5000.0]) == ["0", "5,000"]


def test_a_later_series_takes_over_a_cell_and_letters_stand_for_dots():
    canvas = BrailleCanvas(3, 1)
    canvas.dot(0, 0, 1)
    canvas.dot(1, 3, 1)
    canvas.dot(2, 0, 1)
    canvas.dot(3, 0, 2)
    assert canvas.row(0) == [("⢁", 1), ("⠈", 2), (" ", None)]
    assert canvas.row(0, "|.*") == [(".", 1), ("*", 2), (" ", None)]
    canvas.dot(6, 0, 1)
    canvas.dot(0, -1, 1)
    assert canvas.row(0) == [("⢁", 1), ("⠈", 2), (" ", None)]


@pytest.mark.parametrize(
    ("environment", "shown"),
    [
        ({}, True),
        ({"LANG": "en_GB.UTF-8"}, True),
        ({"LANG": "C.utf8"}, True),
        ({"LC_CTYPE": "UTF-8"}, True),
        ({"LANG": "sr_RS.UTF-8@latin"}, True),
        ({"LANG": "en_US"}, False),
        ({"LC_ALL": "C", "LANG": "en_GB.UTF-8"}, False),
        ({"LC_ALL": "", "LANG": "de_DE.ISO-8859-1"}, False),
        ({"LANG": "C.UTF-8", "TERM": "linux"}, False),
    ],
)
def test_the_locale_says_whether_the_terminal_has_braille(environment, shown):
    assert has_braille(environment) is shown
