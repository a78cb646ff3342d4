"""YAML with lines: where things stand, and what is refused."""

from __future__ import annotations

import pytest

from core.assistant.source import parse_yaml
from core.errors import ProblemsError


@pytest.mark.parametrize(
    ("item", "last"),
    [
        ("- plain: word", 1),
        ("- plain: over\n    two lines\n\n\n# remark", 2),
        ("- quoted: 'over\n    two lines'\n", 2),
        ("- literal: |\n    one\n\n    three\n\n\n# remark", 4),
        ("- kept: |+\n    one\n\n\n", 2),
        ("- folded: >\n    one\n    two\n\n\n# remark", 3),
        ("- stripped: >-\n    one\n\n  # remark\n", 2),
        ("- nothing:\n  # remark\n", 1),
        ("- a:\n    b:\n    - c\n    - d: e\n\n", 4),
        ("- {a: 1,\n   b: 2}\n", 2),
    ],
)
def test_an_item_ends_where_its_content_ends(item, last):
    content = parse_yaml(f"{item}\n- another: one\n", "some.yml")
    assert content.item_lines[0].last == last
    assert content.item_lines[1].first == item.count("\n") + 2


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", "yes"), ("Off", "Off"), ("TRUE", True), ("12:30", "12:30"), ("2024-01-01", "2024-01-01"), ("010", 10),
        ("0o17", 15), ("-0x10", "-0x10"), ("0x1F", 31), ("1_000", "1_000"), ("1e3", 1000.0), (".5", 0.5),
        ("-.INF", float("-inf")), ("~", None), ("", None), ("NULL", None), ("!!str 5", "5"), ("${KEY}", "${KEY}"),
    ],
)  # fmt: skip
def test_scalars_are_those_of_yaml_1_2(text, value):
    assert parse_yaml(f"a: {text}", "some.yml") == {"a": value}


def test_merged_keys_stand_back_behind_written_ones():
    content = parse_yaml("base: &base {a: 010, b: 1}\nnext:\n  b: 2\n  <<: *base\n  c: 3\n", "some.yml")["next"]
    assert content == {"b": 2, "a": 10, "c": 3}
    assert (content.line_of("a"), content.line_of("b"), content.written["a"]) == (4, 3, "010")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("a: 1\n\tb: 2", "some.yml:2: not valid YAML"),
        ("a: 1\n b: 2", "some.yml:2: not valid YAML"),
        ("a: 1\na: 2", "some.yml:2: a is given twice (first in line 1)"),
        ("x: y\na: b\x00c", "some.yml:2: not valid YAML: a control character stands there"),
        ("a: !!int many", "some.yml:1: 'many' is not of the type !!int"),
        ("a: !thing {}", "some.yml:1: the tag !thing is not read"),
        ("<<: 5", "some.yml:1: << takes a mapping"),
        ("? [a]\n: b", "some.yml:1: a key must be a plain word"),
        ("a: &a [*a]", "some.yml:1: an alias contains itself"),
        ("--- 1\n--- 2", "some.yml:2: not valid YAML"),
        ("[" * 5000, "some.yml"),
    ],
)
def test_complaints(text, complaint):
    with pytest.raises(ProblemsError) as caught:
        parse_yaml(text, "some.yml")
    assert complaint in str(caught.value)
