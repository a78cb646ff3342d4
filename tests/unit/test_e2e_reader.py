"""Reading test files as their owners write them."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
from real_assistants import SHARED_ASSISTANTS

from core.e2e.cases import ANY, TestSuite
from core.e2e.reader import find_tests, read_tests
from core.errors import ProblemsError, UsageError

CLASSIC = """
fixtures:
  - gold:
      - tier: gold
      - mocked_datetime: "2026-01-05T09:00:00Z"
  - heavy: {weight: 40}
metadata:
  - web: {channel: web, theme: dark}
  - app:
      channel: app
test_cases:
  - test_case: order a pickup
    fixtures: [gold, heavy]
    metadata: web
    steps:
      - utter: utter_welcome
      - user: collect a parcel
      - utter: utter_ask_street
      - user: Elm Road 4
        metadata: app
      - slot_was_set:
          - street: Elm Road 4
          - day
      - slot_was_not_set:
          - weight: 3
      - bot: To Elm Road 4.
"""

ASSERTED = """
test_cases:
  - test_case: cancel half way
    steps:
      - user: collect a parcel
        assertions:
          - flow_started: {operator: any, flow_ids: [send, track]}
          - flow_started: send
          - bot_uttered: {utter_name: utter_ask_street, buttons: [{title: Home, payload: /home}]}
      - utter: ignored
      - user: forget it
        assertion_order_enabled: true
        assertions:
          - flow_cancelled: {flow_id: send, flow_step_id: ask}
          - flow_completed: pattern_cancel_flow
          - slot_was_set: [{name: street, value: null}, {name: day}]
          - pattern_clarification_contains: [send, track]
          - action_executed: action_note
          - bot_did_not_utter: {text_matches: Booked}
          - generative_response_is_grounded: {threshold: 0.8}
"""


@pytest.fixture
def write(tmp_path) -> Callable[[str, str], Path]:
    """write(path, text) → the file."""

    def write_file(path: str, text: str) -> Path:
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(text), encoding="utf-8")
        return file

    return write_file


@pytest.fixture
def read(write, tmp_path) -> Callable[[str], TestSuite]:
    return lambda text: read_tests(write("e2e_tests/all.yml", text), tmp_path)


@pytest.fixture
def problems(read) -> Callable[[str], list[str]]:
    """problems(text) → what is wrong, as lines."""

    def complaints(text: str) -> list[str]:
        with pytest.raises(ProblemsError) as caught:
            read(text)
        return str(caught.value).splitlines()

    return complaints


def test_classic_steps_become_turns(read):
    (case,) = read(CLASSIC).cases
    assert case.id == "e2e_tests/all.yml::order a pickup"
    assert [(check.kind, check.value) for check in case.opening] == [("utter", "utter_welcome")]
    assert [turn.user for turn in case.turns] == ["collect a parcel", "Elm Road 4"]
    assert [(check.kind, check.value) for check in case.turns[1].checks] == [
        ("slot_was_set", ("street", "Elm Road 4")),
        ("slot_was_set", ("day", ANY)),
        ("slot_was_not_set", ("weight", 3)),
        ("bot", "To Elm Road 4."),
    ]
    lines = CLASSIC.splitlines()
    assert all("street" in lines[check.line - 1] for check in case.turns[1].checks[:1])
    assert lines[case.turns[0].line - 1].strip() == "- user: collect a parcel"


def test_fixtures_are_lists_or_mappings(read):
    (case,) = read(CLASSIC).cases
    assert case.fixture_slots == {"tier": "gold", "mocked_datetime": "2026-01-05T09:00:00Z", "weight": 40}


def test_a_steps_metadata_overlays_the_tests(read):
    (case,) = read(CLASSIC).cases
    assert [dict(turn.metadata) for turn in case.turns] == [
        {"channel": "web", "theme": "dark"},
        {"channel": "app", "theme": "dark"},
    ]


def test_assertions_replace_classic_checks(read):
    (case,) = read(ASSERTED).cases
    first, second = case.turns
    assert (first.uses_assertions, first.ordered, second.ordered) == (True, False, True)
    assert [(check.kind, check.value) for check in first.checks] == [
        ("flow_started", ("any", ("send", "track"))),
        ("flow_started", ("all", ("send",))),
        (
            "bot_uttered",
            {"utter_name": "utter_ask_street", "buttons": [{"title": "Home", "payload": "/home"}]},
        ),
    ]
    assert [check.value for check in second.checks] == [
        ("send", "ask"),
        ("pattern_cancel_flow", None),
        ("street", None),
        ("day", ANY),
        ("all", ("send", "track")),
        "action_note",
        {"text_matches": "Booked"},
        {"threshold": 0.8},
    ]


@pytest.mark.parametrize("written", ["5", "007", "1.50", "1e3", "true", "True", "null", "2026-01-05", "yes", "12:30"])
def test_what_a_user_types_stays_as_written(read, written):
    (case,) = read(f"test_cases: [{{test_case: numbers, steps: [{{user: {written}}}]}}]").cases
    assert case.turns[0].user == ("" if written == "null" else written)


def test_what_a_stub_says_stays_as_written(read):
    stubs = "{action_price: {responses: [{text: 12.50}, {response: utter_price}]}}"
    suite = read(f"stub_custom_actions: {stubs}\ntest_cases: [{{test_case: a, steps: [{{user: x}}]}}]")
    (case,), (file,) = suite.cases, suite.files
    assert case.stubs["action_price"].responses == ({"text": "12.50"}, {"response": "utter_price"})
    assert file.stubs["action_price"]["responses"][0] == {"text": "12.50"}, "it is written out again"


def test_stubs_for_one_test_override_those_of_the_file(read):
    suite = read("""
        stub_custom_actions:
          action_price: {events: [{event: slot, name: price, value: 1}], responses: []}
          cheap::action_price: {events: [], responses: [{text: free}]}
          action_empty:
        test_cases:
          - {test_case: cheap, steps: [{user: hi}]}
          - {test_case: dear, steps: [{user: hi}]}
    """)
    cheap, dear = suite.cases
    assert cheap.stubs["action_price"].responses == ({"text": "free"},)
    assert dear.stubs["action_price"].events == ({"event": "slot", "name": "price", "value": 1},)
    assert set(cheap.stubs) == set(dear.stubs) == {"action_price", "action_empty"}


def test_the_nearest_conftest_wins_and_the_file_wins_over_it(write, tmp_path):
    write("conftest.yml", "fixtures: [{one: [{tier: root}]}, {two: [{tier: root}]}, {three: [{tier: root}]}]")
    write("e2e_tests/conftest.yml", "fixtures: {two: {tier: folder}, three: {tier: folder}}\nllm_judge: {llm: {}}")
    write(
        "e2e_tests/all.yml",
        """
        fixtures: [{three: [{tier: file}]}]
        test_cases:
          - {test_case: a, fixtures: [one], steps: [{user: hi}]}
          - {test_case: b, fixtures: [two], steps: [{user: hi}]}
          - {test_case: c, fixtures: [three], steps: [{user: hi}]}
        """,
    )
    suite = read_tests(tmp_path / "e2e_tests", tmp_path)
    assert [case.fixture_slots["tier"] for case in suite.cases] == ["root", "folder", "file"]


def test_one_test_can_be_chosen(write, tmp_path):
    file = write(
        "e2e_tests/all.yml", "test_cases: [{test_case: a b, steps: [{user: x}]}, {test_case: c, steps: [{user: y}]}]"
    )
    assert [case.name for case in read_tests(Path(f"{file}::a b"), tmp_path).cases] == ["a b"]
    with pytest.raises(UsageError, match=r"holds no test named 'a c'; did you mean a b\?"):
        read_tests(Path(f"{file}::a c"), tmp_path)


def test_a_folder_is_read_with_its_subfolders_and_other_yaml_is_left_alone(write, tmp_path):
    write("tests/b/two.yaml", "test_cases: [{test_case: same, steps: [{user: y}]}]")
    write("tests/a/one.yml", "test_cases: [{test_case: same, steps: [{user: x}]}]")
    write("tests/other.yml", "scenarios: []")
    suite = read_tests(tmp_path / "tests", tmp_path)
    assert [case.id for case in suite.cases] == ["tests/a/one.yml::same", "tests/b/two.yaml::same"]


def test_tests_of_dialogue_understanding_are_left_aside(write, tmp_path):
    write("tests/e2e/a.yml", "test_cases: [{test_case: a, steps: [{user: hi}]}]")
    write("tests/du/b.yml", "test_cases: [{test_case: b, steps: [{user: hi, commands: [StartFlow(a)]}, {utter: utter_a}]}]")
    suite = read_tests(find_tests(tmp_path), tmp_path)
    assert [case.id for case in suite.cases] == ["tests/e2e/a.yml::a"]
    assert [str(told) for told in suite.warnings] == [
        "tests/du/b.yml:1: the file is left aside: tests of dialogue understanding, whose messages have `commands`, are not run"
    ]


@pytest.mark.parametrize(
    "place", ["e2e_tests/x.yml", "tests/e2e_test_cases.yml", "tests/e2e_test_cases/x.yml", "tests/deep/x.yml"]
)
def test_tests_are_found_where_assistants_keep_them(write, tmp_path, place):
    file = write(place, "test_cases: [{test_case: a, steps: [{user: x}]}]")
    assert file.is_relative_to(find_tests(tmp_path))


def test_a_file_in_utf_16_is_found_and_its_encoding_complained_of(write, tmp_path):
    file = write("e2e_tests/t.yml", "")
    file.write_text("test_cases: [{test_case: a, steps: [{user: x}]}]", encoding="utf-16")
    with pytest.raises(ProblemsError, match="not UTF-8"):
        read_tests(find_tests(tmp_path), tmp_path)


def test_where_tests_were_looked_for_is_said(write, tmp_path):
    write("tests/notes.yml", "nothing: here")
    with pytest.raises(UsageError, match=r"looked in e2e_tests, .*tests for files with `test_cases`"):
        find_tests(tmp_path)
    with pytest.raises(UsageError, match="holds no tests"):
        read_tests(tmp_path / "tests", tmp_path)
    with pytest.raises(UsageError, match="does not exist"):
        read_tests(tmp_path / "nowhere", tmp_path)


def test_all_problems_come_at_once_with_their_lines(problems):
    one_of = "a step is one of user, bot, utter, slot_was_set, slot_was_not_set"
    assert problems("""\
        fixture: []
        fixtures: [{gold: 3}, {silver: [{tier: silver}]}]
        metadata: [{web: {a: 1}}]
        test_cases:
          - steps: [{user: hi}]
          - test_case: one
            fixtures: [silvr]
            metadata: wob
            stesp: []
            steps:
              - usr: hi
              - user: hi
                utter: utter_hi
              - {}
              - hello
              - user: hi
                metdata: web
              - slot_was_set: [3]
          - test_case: one
            steps: []
    """) == [
        "e2e_tests/all.yml:1: fixture is not a key of a test file; did you mean fixtures?",
        "e2e_tests/all.yml:2: fixtures gold is a list of `name: value`",
        "e2e_tests/all.yml:5: a test needs a name: `- test_case: what it shows`",
        "e2e_tests/all.yml:7: fixture silvr is not defined here or in a conftest.yml above; did you mean silver?",
        "e2e_tests/all.yml:8: metadata wob is not defined in this file; did you mean web?",
        "e2e_tests/all.yml:9: stesp is not a key of a test; did you mean steps?",
        "e2e_tests/all.yml:11: usr is not a key of a step; did you mean user?",
        f"e2e_tests/all.yml:12: {one_of}; this one is user and utter",
        f"e2e_tests/all.yml:14: {one_of}; this one is empty",
        "e2e_tests/all.yml:15: a step is a mapping such as `- user: hello`",
        "e2e_tests/all.yml:17: metdata is not a key of a user step; did you mean metadata?",
        "e2e_tests/all.yml:18: slot_was_set is a list of slot names or `name: value`",
        "e2e_tests/all.yml:19: test 'one' has no steps",
        "e2e_tests/all.yml:19: test 'one' is there twice (first in line 6); rename one",
    ]


@pytest.mark.parametrize(
    ("assertion", "complaint"),
    [
        ("bot_utered: {}", "there is no assertion bot_utered; did you mean bot_uttered?"),
        ("flow_started: {operator: some, flow_ids: [a]}", "flow_started needs flow ids, and all or any as operator"),
        ("flow_started: {flow_id: [a]}", "flow_id is not a key of flow_started; did you mean flow_ids?"),
        ("flow_completed: {flow_step_id: a}", "flow_completed needs flow ids, and all or any as operator"),
        (
            "flow_completed: {operator: any, flow_ids: [a, b]}",
            "flow_completed cannot choose among several flows; give one flow_id",
        ),
        ("slot_was_set: [street]", "slot_was_set is a list of `name` and `value`"),
        ("slot_was_set: {name: street}", "slot_was_set must be a list"),
        ("action_executed:", "action_executed names an action"),
        ("bot_uttered: utter_hi", "bot_uttered is a mapping with utter_name, text_matches, buttons"),
        ("bot_uttered: {}", "bot_uttered needs one of utter_name, text_matches, buttons"),
        ("bot_uttered: {buttons: [yes]}", "a button is a mapping with title and payload"),
        ("bot_uttered: {utter_name: [utter_hi]}", "utter_name must be text"),
        ("bot_uttered: {text_matches: {a: b}}", "text_matches must be text"),
        ("bot_uttered: {utter: a}", "utter is not a key of bot_uttered"),
    ],
)
def test_wrong_assertions_are_named(problems, assertion, complaint):
    text = "test_cases:\n- test_case: a\n  steps:\n  - user: hi\n    assertions:\n    - " + assertion
    assert any(line.startswith(f"e2e_tests/all.yml:6: {complaint}") for line in problems(text))


def test_a_fixtures_moment_must_be_one(problems):
    fixtures = "fixtures: [{now: [{mocked_datetime: soon}]}]"
    assert problems(f"{fixtures}\ntest_cases:\n- {{test_case: a, fixtures: [now], steps: [{{user: x}}]}}") == [
        "e2e_tests/all.yml:3: mocked_datetime 'soon' is no ISO 8601 time such as 2026-01-05T09:00:00+00:00"
    ]


@pytest.mark.parametrize(
    ("stubs", "complaint"),
    [
        ("[action_price]", "stub_custom_actions is a mapping from actions to their answers"),
        ("{action_price: 3}", "the stub action_price is a mapping with events and responses"),
        ("{action_price: {events: [slot]}}", "an entry of events is a mapping"),
        ("{action_price: {event: []}}", "event is not a key of the stub action_price; did you mean events?"),
        ("{action_price: {events: [{event: slot, nam: a}]}}", "the stub action_price: a slot event needs the `name` of a slot"),
        ("{action_price: {responses: [{text: [a]}]}}", "text must be text"),
        ("{action_price: {responses: [hm, {text: a}]}}", "an entry of responses is a mapping"),
        ("{action_price: {responses: [{text: a, buttons: [yes]}]}}", "a button is a mapping with title and payload"),
    ],
)
def test_wrong_stubs_are_named(problems, stubs, complaint):
    text = f"stub_custom_actions: {stubs}\ntest_cases: [{{test_case: a, steps: [{{user: x}}]}}]"
    assert problems(text) == [f"e2e_tests/all.yml:1: {complaint}"]


@pytest.mark.parametrize("steps", ["true", "5", "{user: x}", "x"])
def test_steps_that_are_no_list_are_named(problems, steps):
    assert "e2e_tests/all.yml:1: steps must be a list" in problems(f"test_cases: [{{test_case: a, steps: {steps}}}]")


def test_yaml_that_cannot_be_read_is_a_problem_among_others(write, tmp_path):
    write("e2e_tests/a.yml", "test_cases: [\n")
    write("e2e_tests/b.yml", "test_cases: [{test_case: a}]")
    with pytest.raises(ProblemsError) as caught:
        read_tests(tmp_path / "e2e_tests", tmp_path)
    assert [problem.file for problem in caught.value.problems] == ["e2e_tests/a.yml", "e2e_tests/b.yml"]


@pytest.mark.skipif(not SHARED_ASSISTANTS.is_dir(), reason="no real assistants beside the checkout")
def test_a_real_suite_is_read():
    root = SHARED_ASSISTANTS / "hybrid-banking"
    suite = read_tests(find_tests(root), root)
    assert len(suite.cases) > 50
    assert all(case.turns for case in suite.cases)


def test_copies_of_failed_tests_are_left_aside(write, tmp_path):
    case = "test_cases: [{test_case: a, steps: [{user: hi}]}]"
    write("tests/a.yml", case)
    copy = write("tests/e2e_failed_tests_20260102.yml", case)
    suite = read_tests(tmp_path / "tests", tmp_path)
    assert [case.id for case in suite.cases] == ["tests/a.yml::a"]
    assert [told.file for told in suite.warnings] == ["tests/e2e_failed_tests_20260102.yml"]
    assert len(read_tests(copy, tmp_path).cases) == 1
