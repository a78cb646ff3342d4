"""Commands found without a language model."""

from __future__ import annotations

import json
import textwrap
from itertools import pairwise
from pathlib import Path

import pytest
from real_assistants import SHARED_ASSISTANTS

from core.assistant.project import load_assistant
from core.dataset import search
from core.dataset.infer import infer
from core.dialogue.actions import ActionAnswer, ActionFailed
from core.dialogue.command_text import render_all
from core.dialogue.engine import Engine
from core.e2e.patterns import choose_patterns
from core.e2e.reader import find_tests, read_tests
from core.e2e.recording import RecordedCommands
from core.e2e.runner import engine_for, run_test
from core.evaluation.review import infer_and_run

PARCELS = Path(__file__).resolve().parents[1] / "assistants" / "parcels"


def inferred(folder, tests=None):
    assistant = load_assistant(folder)
    suite = read_tests(tests or find_tests(folder), folder)
    engine = Engine(assistant, None, choose_patterns(assistant, suite)[0], require_actions=False)
    return {case.name: infer(engine_for(engine, case, None, False), case) for case in suite.cases}


def shown(inference):
    return [None if turn is None else render_all(turn, "v2").split("\n") for turn in inference.turns]


@pytest.fixture
def write_test(tmp_path):
    """write_test(steps) → a file with one test of these steps; the first stands in line 4."""

    def write(steps: str) -> Path:
        test = tmp_path / "t.yml"
        test.write_text("test_cases:\n- test_case: a\n  steps:\n" + textwrap.indent(steps, "  "))
        return test

    return write


def test_every_test_of_the_parcel_service():
    found = {name: shown(inference) for name, inference in inferred(PARCELS).items()}
    assert found["a parcel is booked"] == [
        ["start flow send_parcel"], ["set slot street Elm Road 4"], ["set slot weight 2"], ["set slot method Card"], None,
    ]  # fmt: skip
    assert found["too heavy a parcel"] == [
        ["start flow send_parcel", "set slot weight 40"], ["set slot street Ash Way 1"],
    ]  # fmt: skip
    assert found["a corrected street"][-1] == ["set slot street Elm Road 8"]
    assert found["a parcel given up"][-1] == ["cancel flow"]
    assert found["which one"] == [["disambiguate flows send_parcel opening_hours"]]
    assert found["small talk while sending"][-1] == ["offtopic reply"]
    assert found["opening hours on Friday"] == [["start flow opening_hours", "set slot day Friday"]]


class FailingAction:
    """Fails for the month of March alone."""

    def run(self, name, tracker):
        if tracker.slots["month"] == "March":
            raise ActionFailed(f"action {name} failed: no such table")
        return ActionAnswer()


def test_what_an_action_that_failed_hides_is_no_contradiction(write_assistant, write_test):
    folder = write_assistant(
        "flows: {bill: {description: explain a bill, steps: [{collect: month}, {action: action_bill}]}}",
        "slots: {month: {type: text}, total: {type: float, mappings: [{type: controlled}]}}\nactions: [action_bill]\n"
        "responses: {utter_ask_month: [{text: Which?}]}",
    )
    test = write_test(
        "- user: please explain the bill for March\n  assertions:\n"
        "  - flow_started: bill\n  - action_executed: action_bill\n  - slot_was_set: [{name: total, value: 3}]"
    )
    engine = Engine(load_assistant(folder), FailingAction())
    found = infer(engine, read_tests(test, folder).cases[0])
    assert found.contradiction is None
    assert "with start flow bill; set slot month March: action action_bill failed: no such table" in found.undecided


def test_a_search_that_was_given_up_blames_no_words():
    assistant = load_assistant(PARCELS)
    case = next(case for case in read_tests(find_tests(PARCELS), PARCELS).cases if case.name == "a parcel for cash")
    engine = engine_for(Engine(assistant, None, "newest", require_actions=False), case, None, False)
    found = infer(engine, case, budget=8)
    assert "too much to be looked through; the turn comes true with set slot street Oak Lane 9" in found.undecided


async def test_what_is_found_makes_the_test_pass():
    assistant = load_assistant(PARCELS)
    suite = read_tests(find_tests(PARCELS), PARCELS)
    engine = Engine(assistant, None, "newest", require_actions=False)
    for case in suite.cases:
        own = engine_for(engine, case, None, False)
        result = await run_test(own, case, RecordedCommands(case, infer(own, case).turns))
        assert result.passed, (case.name, result.failures, result.error)


@pytest.mark.parametrize(
    ("steps", "line", "reason"),
    [
        (
            "- user: send a parcel\n- utter: utter_booked",
            5,
            "t.yml:4) come true; with start flow send_parcel: expected utter: utter_booked",
        ),
        (
            "- user: hm\n- slot_was_set: [{member: true}]",
            5,
            "expected slot_was_set member = True, but nothing of the kind",
        ),
        (
            "- user: hello\n- user: send a parcel\n- utter: utter_ask_street\n- user: to Elm Road\n- utter: utter_booked",
            8,
            "turn 3",
        ),
    ],
)
def test_what_no_commands_fulfil_is_a_contradiction_with_its_line(write_test, steps, line, reason):
    (found,) = inferred(PARCELS, write_test(steps)).values()
    assert not found.turns
    assert found.contradiction.line == line
    assert reason in found.contradiction.message


def test_nothing_is_invented(write_test):
    steps = (
        "- user: send a parcel\n- utter: utter_ask_street\n- user: Elm Road\n- user: no idea\n- utter: utter_ask_method"
    )
    (found,) = inferred(PARCELS, write_test(steps)).values()
    assert not found.turns
    assert found.contradiction is None
    assert "t.yml:7) comes true with set slot weight" in found.undecided
    assert "which the user's words do not say" in found.undecided


def test_what_cannot_be_told_apart_is_said_to_be_ambiguous(tmp_path):
    test = tmp_path / "t.yml"
    test.write_text(
        "test_cases:\n- test_case: a\n  steps:\n  - user: send a parcel to Elm Road\n  - utter: utter_ask_street\n"
        "  - user: xyzzy\n  - utter: utter_cannot_handle\n"
    )
    (found,) = inferred(PARCELS, test).values()
    assert found.undecided is None or "ambiguous" in found.undecided


def test_a_message_before_a_button_is_no_less_ambiguous(make_assistant):
    post = "{{description: send a thing {0}, steps: [{{collect: street}}, {{collect: sure}}, {{action: utter_done}}]}}"
    said = ", ".join(f"utter_{name}: [{{text: {name}}}]" for name in ("ask_street", "ask_sure", "done"))
    domain = f"slots: {{street: {{type: text}}, sure: {{type: bool}}}}\nresponses: {{{said}}}"
    root = make_assistant(f"flows: {{red: {post.format('red')}, blue: {post.format('blue')}}}", domain).root
    steps = "[{user: send a thing}, {utter: utter_ask_street}, {user: Elm}, {utter: utter_ask_sure}"
    for more in ("]", ", {user: /SetSlots(sure=true)}, {utter: utter_done}]"):
        (root / "t.yml").write_text(f"test_cases: [{{test_case: a, steps: {steps}{more}}}]")
        (found,) = inferred(root, root / "t.yml").values()
        assert "turn 1 ('send a thing', t.yml:1) is ambiguous" in found.undecided


def test_a_long_test_tries_no_more_in_vain_for_being_long(make_assistant, monkeypatch):
    """Every flow leads to every other, so that any of them may say what is expected."""
    names = [f"{verb}_{thing}" for verb in ("open", "close", "renew") for thing in ("card", "loan", "ticket", "permit")]
    asked = [f"item_{number}" for number in range(10)]
    flows = {name: {"description": name.replace("_", " my "), "steps": [*({"collect": slot} for slot in asked), {"link": following}]}
             for name, following in zip(names, names[1:] + names[:1], strict=True)}  # fmt: skip
    responses = {f"utter_ask_{slot}": [{"text": f"{slot}?"}] for slot in asked}
    domain = {"slots": {slot: {"type": "text"} for slot in asked}, "responses": responses}
    root = make_assistant(json.dumps({"flows": flows}), json.dumps(domain)).root
    steps = [{"user": "open my card"}, {"utter": "utter_ask_item_0"}]
    for slot, following in pairwise(asked):
        steps += [{"user": "for Ann"}, {"slot_was_set": [{slot: "for Ann"}]}, {"utter": f"utter_ask_{following}"}]
    (root / "t.yml").write_text(json.dumps({"test_cases": [{"test_case": "a", "steps": steps}]}))
    (found,) = inferred(root, root / "t.yml").values()
    monkeypatch.setattr(search, "least_cost", lambda *_: 1.0)
    (plain,) = inferred(root, root / "t.yml").values()
    assert plain.turns == found.turns != ()
    assert plain.simulations > 3 * found.simulations


def test_a_button_that_leads_elsewhere_fails_the_test(tmp_path):
    test = tmp_path / "t.yml"
    test.write_text(
        "test_cases:\n- test_case: a\n  steps:\n  - user: send a parcel\n  - user: /SetSlots(street=Elm)\n  - utter: utter_booked\n"
    )
    (found,) = inferred(PARCELS, test).values()
    assert found.contradiction is not None
    assert found.contradiction.line == 6


def test_the_search_is_deterministic():
    assert {name: found.turns for name, found in inferred(PARCELS).items()} == {
        name: found.turns for name, found in inferred(PARCELS).items()
    }


def test_a_bank_of_others():
    folder = SHARED_ASSISTANTS / "hybrid-banking"
    if not folder.is_dir():
        pytest.skip("hybrid-banking is not beside this checkout")
    found = inferred(folder)
    assert sum(bool(inference.turns) for inference in found.values()) >= 60


def test_a_text_that_nothing_says_is_a_contradiction(write_test):
    folder = PARCELS.parent / "journeys"
    steps = "- user: is LH 123 on time?\n- bot: LH 123 is late."
    (found,) = inferred(folder, write_test(steps)).values()
    assert found.contradiction.line == 5
    assert found.contradiction.message == "no response of the assistant says 'LH 123 is late.'"


@pytest.mark.parametrize(
    ("steps", "reason"),
    [
        ("- user: book a hotel\n- utter: utter_ask_cabin_class", "with start flow baggage_rules, though the words speak of book_hotel"),
        ("- user: a hotel please\n- utter: utter_faq", "with provide info, though the words speak of book_hotel"),
        (
            "- user: baggage in business\n- slot_was_set: [cabin_class: economy]",
            "set slot cabin_class economy, though the words speak of business",
        ),
    ],
)  # fmt: skip
def test_commands_that_the_words_speak_against_are_not_taken(write_test, steps, reason):
    (found,) = inferred(PARCELS.parent / "journeys", write_test(steps)).values()
    assert not found.turns
    assert found.undecided.endswith(reason)


def test_a_second_flow_may_be_asked_for_in_words_of_its_own(write_test):
    steps = "- user: a parcel of 40 kg to Elm Road, and are you there at noon on Friday\n- utter: utter_too_heavy\n- utter: utter_hours"
    (found,) = inferred(PARCELS, write_test(steps)).values()
    assert shown(found)[0][:2] == ["start flow send_parcel", "start flow opening_hours"]


def test_a_number_alone_answers_the_question(make_assistant):
    asks = "{collect: age}, {collect: worth}, {action: utter_quote}"
    flows = f"flows: {{quote: {{description: quote for a car, steps: [{asks}]}}}}"
    said = "utter_ask_age: [{text: age?}], utter_ask_worth: [{text: worth?}], utter_quote: [{text: q}], utter_young: [{text: too young}]"
    domain = f"actions: [validate_age]\nslots: {{age: {{type: float}}, worth: {{type: float}}}}\nresponses: {{{said}}}"
    tests = (
        "stub_custom_actions: {validate_age: {events: [{event: slot, name: age, value: null}], responses: [{response: utter_young}]}}\n"
        "test_cases:\n- test_case: a\n  steps:\n  - user: a quote\n  - utter: utter_ask_age\n  - user: '16'\n  - utter: utter_young\n"
    )
    root = make_assistant(flows, domain).root
    (root / "t.yml").write_text(tests)
    (found,) = inferred(root, root / "t.yml").values()
    assert shown(found)[1] == ["set slot age 16"]


def test_what_a_message_tells_where_the_checks_do_not(make_assistant):
    flows = (
        "flows: {dispute_bill: {description: complain about a wrong bill, steps: [{collect: bill_month}, {collect: dispute_reason},"
        " {action: utter_filed}]}, show_bill: {description: show a bill, steps: [{collect: bill_month}, {action: utter_bill}]},"
        " roaming: {description: switch on roaming, steps: [{collect: zone}, {collect: roaming_days}, {action: utter_on}]}}"
    )
    slots = "{bill_month: {type: text}, dispute_reason: {type: text}, zone: {type: text}, roaming_days: {type: float, initial_value: 7}}"
    names = ["ask_bill_month", "ask_dispute_reason", "ask_zone", "ask_roaming_days", "filed", "bill", "on"]
    said = ", ".join(f"utter_{name}: [{{text: {name}}}]" for name in names)
    root = make_assistant(flows, f"slots: {slots}\nresponses: {{{said}}}").root
    for message, utter, command in (
        ("my bill for June is wrong because I never called Peru", "filed", "set slot dispute_reason I never called Peru"),
        ("May bill please", "bill", "set slot bill_month May"),
        ("roaming in Spain for ten days", "on", "set slot roaming_days 10"),
    ):
        steps = f"  - user: {message}\n  - utter: utter_{utter}\n"
        (root / "t.yml").write_text(f"test_cases:\n- test_case: a\n  steps:\n{steps}")
        (found,) = inferred(root, root / "t.yml").values()
        assert command in shown(found)[0]


def test_a_number_alone_corrects_a_number(make_assistant):
    asks = "{collect: policy_number}, {collect: amount}, {collect: sure, ask_before_filling: true}, {action: utter_ok}"
    said = ", ".join(f"utter_{name}: [{{text: {name}}}]" for name in ("ask_policy_number", "ask_amount", "ask_sure", "ok"))
    slots = "{policy_number: {type: text}, amount: {type: float}, sure: {type: bool}}"
    domain = f"slots: {slots}\nresponses: {{{said}}}"
    root = make_assistant(f"flows: {{claim: {{description: file a claim, steps: [{asks}]}}}}", domain).root
    steps = "[{user: a claim for P-5}, {utter: utter_ask_amount}, {user: '3000'}, {utter: utter_ask_sure},"
    steps += " {user: 'wait, it was 4000'}, {utter: utter_corrected_previous_input}]"
    (root / "t.yml").write_text(f"test_cases: [{{test_case: a, steps: {steps}}}]")
    (found,) = inferred(root, root / "t.yml").values()
    assert shown(found)[2] == ["set slot amount 4000"]


def test_zeros_before_a_number_are_not_lost_from_a_text(write_test):
    steps = "- user: send a parcel\n- user: '0042'\n- slot_was_set: [street: 0042]\n- utter: utter_ask_weight"
    (found,) = inferred(PARCELS, write_test(steps)).values()
    assert "street = 42, but street became '0042'" in found.contradiction.message
    (found,) = inferred(PARCELS, write_test(steps.replace("street: 0042", 'street: "0042"'))).values()
    assert shown(found)[1] == ["set slot street 0042"]


def test_a_flow_that_its_condition_keeps_closed_is_named(write_test):
    (found,) = inferred(PARCELS, write_test("- user: tell me the secret\n- utter: utter_secret")).values()
    assert "; flow secret cannot start there, as 'slots.member' does not hold" in (found.undecided or found.contradiction.message)


async def test_a_test_that_fails_keeps_what_was_warned_of(write_test):
    (case,) = read_tests(write_test("- user: /SetSlots(stret=Elm)\n- utter: utter_booked"), PARCELS).cases
    result = await infer_and_run(Engine(load_assistant(PARCELS), None, "newest", require_actions=False), case, None)
    assert not result.passed
    assert "did you mean street?" in result.warnings[0]


def test_a_message_that_no_model_is_shown_has_no_commands(write_test):
    long = "send a parcel to Elm Road 4 " * 20
    steps = f"- user: {long}\n- utter: utter_user_input_too_long_error_rasa\n- user: ''\n- utter: utter_user_input_empty_error_rasa"
    (found,) = inferred(PARCELS, write_test(steps)).values()
    assert [command.error_type for (command,) in found.turns] == [
        "rasa_internal_error_user_input_too_long",
        "rasa_internal_error_user_input_empty",
    ]
    (found,) = inferred(PARCELS, write_test(f"- user: {long}\n- utter: utter_ask_weight")).values()
    assert found.contradiction.line == 5


def test_a_wrong_way_that_meets_an_action_without_a_stub_does_not_end_the_search(write_test):
    steps = "stub_custom_actions: {action_data_usage: {events: [], responses: []}}\n"
    test = write_test(
        "- user: a trip abroad, medium roaming for Spain\n- slot_was_set: [destination]\n"
        "- user: how much data is left\n- utter: utter_data_usage"
    )
    test.write_text(steps + test.read_text())
    (found,) = inferred(PARCELS.parent / "telecom", test).values()
    assert "start flow check_data_usage" in shown(found)[1]
