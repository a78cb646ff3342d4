"""Coverage, and what a run leaves behind."""

from __future__ import annotations

import csv
import sys
import textwrap
from pathlib import Path

import pytest
import yaml
from rigs.parcels import DOMAIN, FLOWS
from rigs.played import play

from core.assistant.project import Assistant
from core.dialogue.commands import CancelFlow, ChitChat, Clarify, SetSlot, SkipQuestion, StartFlow
from core.dialogue.engine import Engine
from core.dialogue.events import StepVisited
from core.dialogue.source import Prediction, UserMessage
from core.dialogue.tracker import Tracker
from core.e2e.cases import Check, TestSuite
from core.e2e.coverage import histogram, measure
from core.e2e.output import (
    coverage_csv,
    difference,
    failure_report,
    histogram_text,
    results_yaml,
    suite_as_yaml,
    summary_line,
    write_histogram,
    write_results,
)
from core.e2e.reader import read_tests
from core.e2e.results import Failure, TestResult
from core.e2e.runner import run_tests

SEND = [
    ("send it", (StartFlow("send_parcel"), SetSlot("street", "Elm Road 4"))),
    ("3 kg", (SetSlot("weight", "3"),)),
]
BOOK = [*SEND, ("/SetSlots(sure=true)", ())]
HOURS = [("open on Monday?", (StartFlow("opening_hours"), SetSlot("day", "Monday")))]


@pytest.fixture
def assistant(make_assistant) -> Assistant:
    return make_assistant(FLOWS, DOMAIN)


@pytest.fixture
def engine(assistant) -> Engine:
    return Engine(assistant)


# Coverage


def test_every_step_but_noop_counts_and_nested_ones_stand_alone(assistant, engine):
    report = measure(assistant, [play(engine, BOOK)])
    flows = {flow.flow: flow for flow in report.flows}
    assert set(flows) == {"send_parcel", "opening_hours", "complain"}
    send = flows["send_parcel"]
    assert (send.steps, send.missing, send.coverage) == (5, 1, 0.8)
    assert send.name == "data/flows.yml::send_parcel"
    ((first, last),) = send.missing_lines
    assert [line.strip() for line in FLOWS.splitlines()[first - 1 : last]] == ["- action: utter_dropped", "next: END"]


def test_results_add_up_and_the_total_counts_steps_not_flows(assistant, engine):
    declined = [*SEND, ("/SetSlots(sure=false)", ())]
    report = measure(assistant, [play(engine, BOOK), play(engine, declined), play(engine, HOURS)])
    assert [(flow.flow, flow.coverage) for flow in report.flows] == [
        ("opening_hours", 1.0),
        ("send_parcel", 1.0),
        ("complain", 0.0),
    ]
    assert (report.steps, report.missing, report.total) == (9, 2, 1 - 2 / 9)


def test_a_skipped_question_counts_as_passed(assistant, engine):
    result = play(engine, HOURS)
    assert StepVisited("opening_hours", "0_collect_day", skipped=True) in result.turns[0].events
    hours = next(flow for flow in measure(assistant, [result]).flows if flow.flow == "opening_hours")
    assert hours.missing == 0


def test_a_blocks_lines_contain_those_of_the_steps_nested_in_it(make_assistant):
    flows = textwrap.dedent("""\
        flows:
          a:
            description: a
            steps:
              - collect: street
                next:
                  - if: slots.street = "Elm"
                    then:
                      - action: utter_booked
                        next: END
                  - else: END
        """)
    report = measure(make_assistant(flows, DOMAIN), [])
    assert report.flows[0].missing_lines == ((5, 11), (9, 10))
    assert report.total == 0.0


def test_an_owners_patterns_have_no_row(make_assistant):
    greeting = "\n  pattern_session_start: {description: hello, steps: [{action: utter_sorry}]}"
    report = measure(make_assistant(FLOWS + greeting, DOMAIN), [])
    assert not any(flow.flow.startswith("pattern_") for flow in report.flows)


def test_commands_are_counted_as_understood_not_as_clicked(engine):
    chatter = [("hi", (ChitChat(),)), ("hm", (Clarify(("send_parcel", "complain")),)), ("no", (SkipQuestion(),))]
    counts = histogram([play(engine, BOOK), play(engine, HOURS), play(engine, chatter)])
    assert list(counts.items())[:2] == [("set slot", 3), ("start flow", 2)]
    assert {"chitchat", "clarify"} <= set(counts)
    assert histogram([play(engine, [("stop", (CancelFlow(),))])]) == {}  # nothing was there to cancel


# Files of tests

ONE = """
fixtures:
  - gold: [{tier: gold}, {mocked_datetime: "2026-01-05T09:00:00Z"}]
  - unused: {tier: none}
metadata: [{web: {channel: web}}, {app: {channel: app}}]
stub_custom_actions:
  action_price: {events: [{event: slot, name: price, value: 12.5}], responses: [{text: "0891"}]}
  order::action_price: {events: [], responses: []}
test_cases:
  - test_case: order
    fixtures: [gold]
    metadata: web
    steps:
      - user: 007
        metadata: app
      - slot_was_set: [{street: "0891"}, day]
      - bot: "1e3"
  - test_case: again
    steps:
      - user: "yes"
        assertions:
          - slot_was_set: [{name: street, value: "12:30"}, {name: sure, value: null}]
          - flow_started: {operator: any, flow_ids: [a, b]}
"""
TWO = """
fixtures: {gold: {tier: other}}
metadata: [{web: {channel: phone}}]
test_cases:
  - test_case: order
    fixtures: [gold, shared]
    metadata: web
    steps: [{utter: utter_hi}, {user: "grüß dich 🙂\\nzwei"}]
"""


@pytest.fixture
def suite(tmp_path) -> TestSuite:
    folder = tmp_path / "e2e_tests"
    folder.mkdir()
    (folder / "conftest.yml").write_text("fixtures: [{shared: [{home: Elm Road 4}]}]")
    (folder / "one.yml").write_text(ONE)
    (folder / "two.yml").write_text(TWO)
    return read_tests(folder, tmp_path)


def reread(text: str, folder: Path) -> TestSuite:
    """Somewhere else, where no conftest.yml helps."""
    (folder / "elsewhere").mkdir(exist_ok=True)
    (folder / "elsewhere" / "passed.yml").write_text(text, encoding="utf-8")
    return read_tests(folder / "elsewhere" / "passed.yml", folder / "elsewhere")


def meaning(suite: TestSuite) -> list[object]:
    """What a test does, without names and lines."""
    return [
        (
            [(check.kind, check.value) for check in case.opening],
            [
                (
                    turn.user,
                    dict(turn.metadata),
                    turn.uses_assertions,
                    [(check.kind, check.value) for check in turn.checks],
                )
                for turn in case.turns
            ],
            dict(case.fixture_slots),
            dict(case.stubs),
        )
        for case in suite.cases
    ]


def test_tests_of_several_files_are_written_as_one_that_means_the_same(suite, tmp_path):
    text = suite_as_yaml(suite, {case.id for case in suite.cases})
    again = reread(text, tmp_path)
    assert meaning(again) == meaning(suite)
    assert [case.name for case in again.cases] == ["order (e2e_tests/one.yml)", "again", "order (e2e_tests/two.yml)"]
    assert suite_as_yaml(again, {case.id for case in again.cases}) == text


def test_only_what_is_kept_is_written(suite, tmp_path):
    text = suite_as_yaml(suite, {"e2e_tests/one.yml::order"})
    assert [case.name for case in reread(text, tmp_path).cases] == ["order"]
    assert set(yaml.safe_load(text)) == {"fixtures", "metadata", "stub_custom_actions", "test_cases"}
    assert "unused" not in text
    assert yaml.safe_load(suite_as_yaml(suite, set())) == {"test_cases": []}


# Tables, histograms, reports


def test_the_table_has_the_recipes_columns(assistant, engine):
    rows = list(csv.reader(coverage_csv(measure(assistant, [play(engine, BOOK)])).splitlines()))
    assert rows[0] == ["Flow Name", "Coverage", "Num Steps", "Missing Steps", "Line Numbers"]
    assert rows[1][:4] == ["data/flows.yml::send_parcel", "80.00%", "5", "1"]
    assert rows[1][4] == "[14-15]"
    assert rows[-1] == ["Total", "44.44%", "9", "5", ""]


def test_histograms_are_bars(tmp_path):
    assert histogram_text({"set slot": 4, "start flow": 1}).splitlines() == [
        "set slot    " + "█" * 40 + " 4",
        "start flow  " + "█" * 10 + " 1",
    ]
    assert histogram_text({}) == "no commands"
    pytest.importorskip("matplotlib")
    assert write_histogram({"set slot": 4}, "Commands", tmp_path / "bars.png") is None
    assert (tmp_path / "bars.png").read_bytes().startswith(b"\x89PNG")
    assert write_histogram({}, "Commands", tmp_path / "none.png") is None


def test_without_matplotlib_a_sentence_comes_instead(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    notice = write_histogram({"set slot": 4}, "Commands", tmp_path / "bars.png")
    assert notice == "bars.png was not drawn; install calmtune[plots]"
    assert not (tmp_path / "bars.png").exists()


class Eager:
    """Takes everything for the wish to send a parcel."""

    async def predict(self, tracker: Tracker, message: UserMessage) -> Prediction:
        return Prediction((StartFlow("send_parcel"),))


@pytest.fixture
async def failed(engine, tmp_path) -> TestResult:
    file = tmp_path / "fails.yml"
    file.write_text(
        "test_cases:\n"
        "- test_case: fails\n"
        "  steps:\n"
        "  - user: send it\n"
        "  - utter: utter_ask_street\n"
        "  - slot_was_set: [street: Elm Road 4]\n"
        "  - user: to Elm Road 4\n"
        "  - utter: utter_ask_street\n"
    )
    (result,) = await run_tests(engine, read_tests(file, tmp_path).cases, Eager())
    return result


async def test_a_failure_is_shown_with_place_conversation_and_difference(failed):
    assert failure_report(failed).splitlines() == [
        "fails.yml:2: fails",
        "    USER: send it",
        "      send_parcel started",
        "    AI: Which street?   (utter_ask_street)",
        "    USER: to Elm Road 4",
        "    AI: Which street?   (utter_ask_street)",
        "  line 6: expected slot_was_set street = 'Elm Road 4', but nothing of the kind happened",
        "    + slot_was_set street = 'Elm Road 4'",
    ]


async def test_the_difference_shows_what_held_as_well(failed):
    assert difference(failed) == [
        "  user: send it",
        "  utter: utter_ask_street",
        "+ slot_was_set street = 'Elm Road 4'",
    ]


async def test_results_are_listed_as_the_recipe_lists_them(failed, engine):
    content = yaml.safe_load(results_yaml([play(engine, HOURS), failed]))
    passed, wrong = content["test_results"]
    assert (passed["pass_status"], "difference" in passed) == (True, False)
    assert (wrong["name"], wrong["pass_status"], wrong["difference"]) == ("fails", False, difference(failed))
    assert wrong["expected_steps"][1] == {"utter": "utter_ask_street"}
    assert results_yaml([]) == "test_results: []\n"


def test_reasons_that_are_no_checks_are_shown_too(engine):
    case = play(engine, HOURS).case
    assert difference(TestResult(case, False, error="the endpoint is down")) == ["! the endpoint is down"]
    assert "the endpoint is down" in failure_report(TestResult(case, False, error="the endpoint is down"))


def test_the_last_line_counts(engine):
    passed = play(engine, HOURS)
    failed = TestResult(passed.case, False, failures=(Failure(Check("utter", "a", 1), 1, "no"),))
    undecided = TestResult(passed.case, False, undecided="two readings")
    assert summary_line([failed, passed, failed, passed, passed]) == "=== 2 failed, 3 passed ==="
    assert summary_line([undecided, passed]) == "=== 1 undecided, 1 passed ==="
    assert summary_line([]) == "=== no tests ==="


async def test_everything_is_written_into_one_folder(failed, engine, assistant, tmp_path):
    suite = read_tests(tmp_path / "fails.yml", tmp_path)
    reports = {True: measure(assistant, []), False: measure(assistant, [failed])}
    notices = write_results(suite, [failed], reports, tmp_path / "out", {True: {}, False: histogram([failed])})
    assert {file.name for file in (tmp_path / "out").iterdir()} - {
        "commands_histogram_for_passed_tests.png",
        "commands_histogram_for_failed_tests.png",
    } == {
        "coverage_report_for_passed_tests.csv",
        "coverage_report_for_failed_tests.csv",
        "passed.yml",
        "failed.yml",
        "e2e_results.yml",
    }
    assert len(notices) in (0, 2)
    (again,) = await run_tests(engine, read_tests(tmp_path / "out" / "failed.yml", tmp_path / "out").cases, Eager())
    assert difference(again) == difference(failed)
