"""Folding rows into a tree loses nothing."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.training.tree import Row, fold


@st.composite
def rows(draw):
    found = []
    for _ in range(draw(st.integers(1, 8))):
        tokens = draw(st.lists(st.integers(0, 2), min_size=2, max_size=9))
        found.append(Row(tokens, draw(st.integers(1, len(tokens) - 1))))
    return found


@given(rows())
@settings(max_examples=300)
def test_every_row_is_read_back(given_rows):
    tree = fold(given_rows)
    assert [tree.row(number) for number in range(len(given_rows))] == [list(row.tokens) for row in given_rows]
    assert tree.plain_tokens == sum(len(row.tokens) for row in given_rows)
    assert len(tree.tokens) <= tree.plain_tokens


@given(rows())
@settings(max_examples=300)
def test_labels_are_those_of_the_rows_and_their_nodes_come_before_them(given_rows):
    tree = fold(given_rows)
    assert sorted(tree.labels) == sorted(token for row in given_rows for token in row.tokens[row.labels_from :])
    following = {}
    for node, label in zip(tree.label_nodes, tree.labels, strict=True):
        assert following.setdefault(node, label) == label, "a node has one next token"
    assert list(tree.row_labels) == [len(row.tokens) - row.labels_from for row in given_rows]
    at = 0
    for row in given_rows:
        for offset, token in enumerate(row.tokens[row.labels_from :], row.labels_from):
            assert tree.labels[at] == token
            assert tree.positions[tree.label_nodes[at]] == offset - 1
            at += 1


@given(rows())
@settings(max_examples=200)
def test_positions_and_paths_agree(given_rows):
    tree = fold(given_rows)
    for segment in tree.segments:
        above = sum(tree.segments[index].length for index in segment.path)
        assert list(tree.positions[segment.start : segment.start + segment.length]) == list(
            range(above, above + segment.length)
        )


def test_a_shared_prompt_stands_there_once():
    prompt = list(range(100))
    tree = fold([Row([*prompt, 200 + number, 300], 100) for number in range(10)])
    assert len(tree.tokens) == 99 + 10 * 3
    assert tree.segments[0].length == 99


def test_rows_without_prompt_or_label_are_refused():
    with pytest.raises(ValueError, match="at least one"):
        fold([Row([1], 0)])
