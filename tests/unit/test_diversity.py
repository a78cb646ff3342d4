"""How different wordings are."""

from __future__ import annotations

import pytest

from core.dataset.diversity import distinct, mean_distance
from core.dataset.text import similarity


def test_distinct_is_the_share_of_different_word_sequences():
    assert distinct(["a b a"], 1) == pytest.approx(2 / 3)
    assert distinct(["a b a", "A, b!"], 2) == pytest.approx(2 / 3)
    assert distinct(["a"], 2) == distinct([], 1) == 0


def test_messages_differ_from_not_at_all_to_completely():
    assert similarity("Send a parcel!", "send  a parcel") == 1
    assert similarity("send a parcel", "xyz") == 0
    assert 0 < similarity("send a parcel", "a parcel, send it") < 1


def test_the_mean_distance_is_over_all_pairs():
    assert mean_distance(["one"]) is None
    assert mean_distance(["same", "Same", "same!"]) == 0
    assert mean_distance(["same", "same", "xyz"]) == pytest.approx(2 / 3)
