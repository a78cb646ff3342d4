"""Whatever a suite says, written out and read again it says the same; YAML of ours survives both kinds of readers."""

from __future__ import annotations

import tempfile
from pathlib import Path

import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from core.assistant.source import parse_yaml
from core.assistant.yaml_text import to_yaml
from core.e2e.output import suite_as_yaml
from core.e2e.reader import read_tests

TEXT = st.one_of(
    st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=12),
    st.sampled_from(["yes", "0891", "1e3", "0o17", "12:30", "2026-01-05", "null", "~", "5.", "<<", "=", "- a", "a: b"]),
)
SCALAR = st.one_of(TEXT, st.booleans(), st.integers(-999, 999), st.none(), st.floats(-9, 9, allow_nan=False))
DATA = st.recursive(SCALAR, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3))

STEP = st.one_of(
    st.builds(lambda text: {"bot": text}, TEXT),
    st.builds(lambda name: {"utter": name}, TEXT),
    st.builds(lambda name, value: {"slot_was_set": [{name: value}, name]}, TEXT, SCALAR),
    st.builds(lambda name: {"slot_was_not_set": [name]}, TEXT),
)
ASSERTION = st.one_of(
    st.builds(lambda flows: {"flow_started": {"operator": "any", "flow_ids": flows}}, st.lists(TEXT, min_size=1)),
    st.builds(lambda name, value: {"slot_was_set": [{"name": name, "value": value}]}, TEXT, SCALAR),
    st.builds(lambda text: {"bot_uttered": {"text_matches": text}}, TEXT),
)
USER = st.one_of(
    st.builds(lambda text, metadata: {"user": text, "metadata": metadata}, TEXT, st.sampled_from(["web", "app"])),
    st.builds(lambda text, checks: {"user": text, "assertions": checks}, TEXT, st.lists(ASSERTION, max_size=3)),
)
CASE = st.builds(
    lambda name, fixtures, steps: {"test_case": name, "fixtures": fixtures, "steps": steps},
    TEXT.filter(lambda name: "::" not in name),
    st.lists(st.sampled_from(["one", "two"]), max_size=2),
    st.lists(st.one_of(USER, STEP), min_size=1, max_size=5),
)
FILE = st.builds(
    lambda one, two, web, app, answer, cases: {
        "fixtures": [{"one": [{slot: value} for slot, value in one.items()]}, {"two": two}],
        "metadata": [{"web": web}, {"app": app}],
        "stub_custom_actions": {
            "action_a": {"events": [answer], "responses": []},
            f"{cases[0]['test_case']}::action_b": {},
        },
        "test_cases": cases,
    },
    st.dictionaries(TEXT, SCALAR, max_size=2),
    st.dictionaries(TEXT, SCALAR, max_size=2),
    st.dictionaries(TEXT, DATA, max_size=2),
    st.dictionaries(TEXT, DATA, max_size=2),
    st.dictionaries(TEXT, DATA, max_size=2),
    st.lists(CASE, min_size=1, max_size=3, unique_by=lambda case: case["test_case"]),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(FILE, min_size=1, max_size=2))
def test_a_suite_survives_being_written(files):
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for at, file in enumerate(files):
            (root / f"{at}.yml").write_text(to_yaml(file), encoding="utf-8")
        suite = read_tests(root, root)
        written = root / "written" / "passed.yml"
        written.parent.mkdir()
        written.write_text(suite_as_yaml(suite, {case.id for case in suite.cases}), encoding="utf-8")
        again = read_tests(written, written.parent)
    assert len(again.cases) == len(suite.cases)
    for case, copy in zip(suite.cases, again.cases, strict=True):
        assert copy.name in (case.name, f"{case.name} ({case.file})")
        assert (copy.fixture_slots, copy.stubs) == (case.fixture_slots, case.stubs)
        assert [(check.kind, check.value) for check in copy.opening] == [
            (check.kind, check.value) for check in case.opening
        ]
        for turn, other in zip(case.turns, copy.turns, strict=True):
            assert (other.user, other.metadata, other.uses_assertions) == (
                turn.user,
                turn.metadata,
                turn.uses_assertions,
            )
            assert [(check.kind, check.value) for check in other.checks] == [
                (check.kind, check.value) for check in turn.checks
            ]


@settings(max_examples=60, deadline=None)
@given(DATA)
@example(["0891", "1e3", "0o17", "yes", "12:30", "2026-01-05", "~", ".inf", "True", "010", "+1", "1_000"])
def test_yaml_reads_back_the_same_here_and_elsewhere(data):
    text = to_yaml(data)
    assert parse_yaml(text, "a.yml") == data
    assert yaml.safe_load(text) == data
