"""Files of the rasa command one by one, in shapes that a version or a mishap may give them, and secrets taken out of texts."""

from __future__ import annotations

import pytest
from rigs.parcels import DOMAIN, FLOWS

from core.e2e.cases import Check, TestCase, Turn
from core.e2e.rasa_files import Outcome, as_result, read_coverage, read_outcomes
from core.e2e.redaction import Redactor
from core.errors import ProblemsError, StepFailed

CASE = TestCase(
    "book",
    "e2e_tests/a.yml",
    3,
    (
        Turn("hello", 4, (Check("utter", "utter_hello", 5),)),
        Turn("send it", 6, (Check("utter", "utter_ask_street", 7), Check("slot_was_set", ("sure", True), 8))),
    ),
)


def test_result_lists_come_before_test_files(tmp_path):
    (tmp_path / "e2e_results.yml").write_text(
        "test_results:\n- {name: a, pass_status: true}\n- {name: b, pass_status: false, difference: ['+ x']}\n"
    )
    (tmp_path / "failed.yml").write_text("test_cases: [{test_case: a, steps: []}, {test_case: c, steps: []}]")
    assert read_outcomes(tmp_path) == {"a": Outcome(True), "b": Outcome(False, ("+ x",)), "c": Outcome(False)}


@pytest.mark.parametrize("text", ["[]", "test_results: [1]", "test_results:\n- {name: a, pass_status: maybe}", "{"])
def test_a_list_that_is_none_is_named(tmp_path, text):
    (tmp_path / "e2e_results_failed.yml").write_text(text)
    with pytest.raises(ProblemsError, match=r"e2e_results_failed\.yml"):
        read_outcomes(tmp_path)


def test_a_difference_leads_to_the_turn_that_went_wrong():
    lines = (
        "  user: hello",
        "  utter: utter_hello",
        "  user: send it",
        "+ utter: utter_ask_street",
        "- utter: utter_sorry",
        "  user: x",
    )
    (failure,) = as_result(CASE, Outcome(False, lines)).failures
    assert (failure.line, failure.check.line) == (6, 7)
    assert failure.difference == ("+ utter: utter_ask_street", "- utter: utter_sorry")
    assert failure.message == "expected utter: utter_ask_street, but rasa got utter: utter_sorry"


def test_a_difference_that_shows_no_message_is_told_of_the_test():
    (failure,) = as_result(CASE, Outcome(False, ("- something",))).failures
    assert failure.line == CASE.line
    assert as_result(CASE, None).error == "rasa left no result for this test"


def test_tables_with_row_numbers_and_without_are_read(make_assistant, tmp_path):
    table = tmp_path / "table.csv"
    table.write_text(
        ",Flow Name,Coverage,Num Steps,Missing Steps,Line Numbers\n"
        '0,data/flows.yml::send_parcel,75.00%,4,1,"[12-14, 7-7]"\n1,data/other.yml::gone,0.00%,1,1,[1-1]\n2,Total,80.00%,5.0,1.0,\n'
    )
    report = read_coverage(table, make_assistant(FLOWS, DOMAIN))
    flow = next(flow for flow in report.flows if flow.flow == "send_parcel")
    assert (flow.steps, flow.missing, flow.missing_lines) == (4, 1, ((7, 7), (12, 14)))
    assert all(flow.coverage == 0 for flow in report.flows if flow.flow != "send_parcel")


@pytest.mark.parametrize(
    "text",
    ["", "Flow Name,Coverage\n", "Flow Name,Coverage,Num Steps,Missing Steps,Line Numbers\nx::complain,1%,many,1,\n"],
)
def test_what_is_no_table_is_said(make_assistant, tmp_path, text):
    (tmp_path / "table.csv").write_text(text)
    with pytest.raises(StepFailed, match="of another version"):
        read_coverage(tmp_path / "table.csv", make_assistant(FLOWS, DOMAIN))


def test_secrets_go_by_their_names_and_longer_ones_first(tmp_path):
    redacted = Redactor(
        {
            "A_TOKEN": "secret-one",
            "B_KEY": "secret-one-and-more\nsecond-line",
            "SHORT_KEY": "true",
            "HOME": "/home/me-and-you",
        }
    )
    assert redacted("secret-one secret-one-and-more second-line true /home/me-and-you") == (
        "[A_TOKEN] [B_KEY] [B_KEY] true /home/me-and-you"
    )
    (tmp_path / "a.csv").write_bytes(b"\xff secret-one")
    (tmp_path / "a.png").write_bytes(b"secret-one")
    redacted.scrub(tmp_path)
    assert (tmp_path / "a.csv").read_bytes() == b"\xff [A_TOKEN]"
    assert (tmp_path / "a.png").read_bytes() == b"secret-one", "no text"
