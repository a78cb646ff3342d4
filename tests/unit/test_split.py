"""The split on suites small enough to see."""

from __future__ import annotations

import random

import pytest

from core.dataset.split import Item, split


def item(id: str, *holds: str, size: int = 10, group: object = None) -> Item:
    return Item(id, size, dict.fromkeys(holds, size), group or id)


def test_what_only_one_test_has_stays_in_train():
    outcome = split([item("rare", "cancel"), *(item(f"common {n}", "start") for n in range(9))], 0.8, seed=1)
    assert "rare" in outcome.train
    assert len(outcome.validation) == 2
    assert outcome.only_in_train == ("cancel",)


def test_a_fraction_of_one_keeps_everything_in_train():
    outcome = split([item("a", "x"), item("b", "x")], 1.0, seed=1)
    assert outcome.validation == ()
    assert outcome.train_fraction == 1.0


def test_tests_that_each_have_something_of_their_own_leave_validation_empty():
    outcome = split([item(name, name) for name in "abcd"], 0.5, seed=1)
    assert outcome.validation == ()
    assert outcome.only_in_train == ("a", "b", "c", "d")


def test_near_duplicates_count_as_one_holder():
    twins = [item("a", "x", group="same"), item("b", "x", group="same")]
    assert split(twins, 0.5, seed=1).validation == ()


def test_a_test_without_rows_is_never_held_out():
    outcome = split([item("buttons only", size=0), item("a", "x"), item("b", "x")], 0.5, seed=1)
    assert "buttons only" in outcome.train


def test_another_seed_holds_out_other_tests():
    items = [item(f"{n:02}", "x") for n in range(40)]
    chosen = {split(items, 0.8, seed).validation for seed in range(5)}
    assert len(chosen) == 5


@pytest.mark.parametrize("fraction", [0.0, -0.1, 1.1])
def test_a_fraction_outside_its_range_is_refused(fraction):
    with pytest.raises(ValueError, match="train fraction"):
        split([item("a", "x")], fraction, seed=1)


def test_an_id_given_twice_is_refused():
    with pytest.raises(ValueError, match="same id"):
        split([item("a"), item("a")], 0.8, seed=1)


def test_what_stands_together_is_spread_over_both_sides():
    plain = [item(f"plain {n}", "flow lost", "slot place") for n in range(20)]
    both = [
        Item(f"both {n}", 10, {"flow lost": 10, "slot place": 10}, f"both {n}", {"flow lost, slot place": 10})
        for n in range(10)
    ]
    for seed in range(5):
        held_out = split([*plain, *both], 0.8, seed).validation
        assert sum(name.startswith("both") for name in held_out) == 2


def test_the_order_in_which_things_are_counted_decides_nothing():
    kinds = [(f"command {number % 3}", f"flow {number % 4}", f"slot {number % 5}", f"slot {number % 7}") for number in range(60)]
    for seed in range(20):
        mixed = [random.Random(at + seed).sample(things, 4) for at, things in enumerate(kinds)]
        one, other = ([Item(f"test {at}", 1, dict.fromkeys(held, 1), at) for at, held in enumerate(order)] for order in (kinds, mixed))
        assert split(one, 0.7, seed) == split(other, 0.7, seed)
