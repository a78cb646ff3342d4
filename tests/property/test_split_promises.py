"""Promises of the split, over invented suites."""

from __future__ import annotations

import random
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from core.dataset.split import Item, split

items = st.lists(
    st.builds(
        lambda size, holds, group: (size, dict.fromkeys(holds, size), group),
        st.integers(0, 30),
        st.sets(st.sampled_from([f"thing {n}" for n in range(8)]), max_size=4),
        st.integers(0, 12),
    ),
    max_size=30,
).map(lambda rows: [Item(f"e2e.yml::test {at}", *row) for at, row in enumerate(rows)])
fractions = st.floats(0.05, 1.0)
seeds = st.integers(0, 5)


@settings(max_examples=60, deadline=None)
@given(items, fractions, seeds)
def test_each_test_is_on_one_side_in_the_order_given(given_items, fraction, seed):
    outcome = split(given_items, fraction, seed)
    ids = [item.id for item in given_items]
    assert sorted((*outcome.train, *outcome.validation)) == sorted(ids)
    assert list(outcome.train) == [id for id in ids if id in set(outcome.train)]


@settings(max_examples=60, deadline=None)
@given(items, fractions, seeds)
def test_train_has_whatever_the_data_has(given_items, fraction, seed):
    outcome = split(given_items, fraction, seed)
    in_train = {thing for item in given_items if item.id in outcome.train for thing in item.holds}
    assert in_train == {thing for item in given_items for thing in item.holds}


@settings(max_examples=60, deadline=None)
@given(items, fractions, seeds)
def test_near_duplicates_stay_together(given_items, fraction, seed):
    validation = set(split(given_items, fraction, seed).validation)
    sides: dict[object, set[bool]] = {}
    for item in given_items:
        sides.setdefault(item.group, set()).add(item.id in validation)
    assert all(len(side) == 1 for side in sides.values())


@settings(max_examples=60, deadline=None)
@given(items, fractions, seeds)
def test_the_fraction_reported_is_the_one_reached_and_never_below_by_more_than_a_group(given_items, fraction, seed):
    outcome = split(given_items, fraction, seed)
    total = sum(item.size for item in given_items)
    in_train = sum(item.size for item in given_items if item.id in outcome.train)
    assert (
        outcome.train_fraction == (in_train / total if total else 1.0)
        or abs(outcome.train_fraction * total - in_train) < 1e-6
    )
    groups = Counter()
    for item in given_items:
        groups[item.group] += item.size
    assert in_train >= fraction * total - max(groups.values(), default=0) / 2 - 1e-6


@settings(max_examples=60, deadline=None)
@given(items, fractions, seeds, st.randoms())
def test_the_order_of_the_tests_does_not_matter(given_items, fraction, seed, shuffler: random.Random):
    shuffled = list(given_items)
    shuffler.shuffle(shuffled)
    one, other = split(given_items, fraction, seed), split(shuffled, fraction, seed)
    assert set(one.validation) == set(other.validation)
    assert one.only_in_train == other.only_in_train


@settings(max_examples=30, deadline=None)
@given(st.integers(4, 12), st.integers(5, 10), seeds)
def test_where_tests_are_plenty_every_flow_is_on_both_sides_and_the_fraction_is_met(flows, tests_each, seed):
    given_items = [
        Item(f"{flow}::{test}", 10, {f"flow {flow}": 10, "command start flow": 10}, (flow, test))
        for flow in range(flows)
        for test in range(tests_each)
    ]
    outcome = split(given_items, 0.8, seed)
    assert outcome.only_in_train == ()
    assert abs(outcome.train_fraction - 0.8) <= 1 / (flows * tests_each)


@settings(max_examples=60, deadline=None)
@given(items, st.floats(0.01, 0.5), fractions, seeds)
def test_a_golden_set_taken_out_first_leaves_all_promises_to_the_other_sides(given_items, golden_share, fraction, seed):
    golden = set(split(given_items, 1 - golden_share, seed).validation)
    rest = [item for item in given_items if item.id not in golden]
    outcome = split(rest, fraction, seed)
    assert not golden & {*outcome.train, *outcome.validation}
    in_train = {thing for item in rest if item.id in outcome.train for thing in item.holds}
    assert in_train == {thing for item in given_items for thing in item.holds}
    assert not {item.group for item in given_items if item.id in golden} & {item.group for item in rest}
