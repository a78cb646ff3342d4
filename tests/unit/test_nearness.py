"""Likeness of conversations: exact, grouped by chains, the same for any order."""

from __future__ import annotations

import string

from hypothesis import given, settings
from hypothesis import strategies as st

from core.dataset.leakage import leakage_facts
from core.dataset.nearness import LEVELS, near_duplicates, nearest
from core.dataset.text import similarity

texts = st.dictionaries(
    st.text(string.ascii_lowercase, min_size=1, max_size=4), st.text("ab c", max_size=12), max_size=12
)


@settings(max_examples=100, deadline=None)
@given(texts, texts)
def test_the_nearest_is_the_one_that_pairwise_comparison_finds(some, others):
    found = {one.id: one.distance for one in nearest(some, others)}
    assert found.keys() == (some.keys() if others else set())
    for id, distance in found.items():
        assert abs(distance - min(1 - similarity(some[id], other) for other in others.values())) < 1e-9


@settings(max_examples=100, deadline=None)
@given(texts, st.sampled_from([0.3, *LEVELS]), st.randoms())
def test_groups_are_the_chains_of_pairs_that_are_alike_in_any_order(some, near, shuffler):
    groups = near_duplicates(some, [near]).of
    ids = list(some)
    root = {id: id for id in ids}

    def find(id: str) -> str:
        return id if root[id] == id else find(root[id])

    for one in ids:
        for other in ids:
            if similarity(some[one], some[other]) >= near:
                root[find(one)] = find(other)
    shuffler.shuffle(ids)
    again = near_duplicates({id: some[id] for id in ids}, [near]).of
    for one in ids:
        for other in ids:
            assert (groups[one] == groups[other]) == (find(one) == find(other)) == (again[one] == again[other])


def test_tests_that_differ_in_a_number_are_near_and_those_of_other_flows_are_not():
    said = {
        "one": "book the tower from Sunday for 4 nights\nI'll pay by card",
        "other": "Book the tower from Sunday for 5 nights!\nI'll pay by card",
        "third": "when do you open\ntomorrow",
    }
    groups = near_duplicates(said).of
    assert groups["one"] == groups["other"] != groups["third"]


def test_more_texts_than_one_part_holds_are_all_compared():
    said = {f"{number}": f"the number {number} is said here" for number in range(1200)}
    found = nearest(said, {"last": "the number 1199 is said here"})
    assert (found[0].id, found[0].distance) == ("1199", 0)
    assert len(found) == 1200


def test_the_figure_of_leakage_names_the_nearest_pair_and_is_none_without_one():
    said = {"a": "send a parcel to Elm Road", "b": "send a parcel to Elm Road please", "c": "opening hours"}
    facts = leakage_facts(said, ["b", "c"], ["a"])
    assert facts["pairs"][0] == {"held_out": "b", "train": "a", "distance": facts["nearest"]}
    assert 0 < facts["nearest"] < facts["median"] < 1
    assert leakage_facts(said, [], ["a"]) == {"nearest": None, "median": None, "pairs": []}


def test_a_suite_made_from_a_template_is_divided_by_what_is_nearly_equal():
    streets = ["Elm Road", "Oak Lane", "Ash Way", "Birch Row", "Fir Court"]
    said = {
        f"{street} {at}": f"please send a parcel to {street} {at} today" for street in streets for at in range(1, 9)
    }
    said["twin"] = "Please send a parcel to Elm Road 1 today!"
    groups = near_duplicates(said)
    assert groups.near > LEVELS[0]
    sizes = sorted(map(list(groups.of.values()).count, set(groups.of.values())))
    assert sizes[-1] <= len(said) / 5
    assert groups.of["twin"] == groups.of["Elm Road 1"]
    one = near_duplicates({f"{at}": "the same" for at in range(10)})
    assert one.near == 1.0
    assert len(set(one.of.values())) == 1, "equal tests stay together whatever comes of it"
