"""Where failed tests went wrong, with a model behind a real endpoint on loopback, and what is said about many of them."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from rigs.chat_server import ChatServer
from rigs.parcels import DOMAIN, FLOWS

from core.assistant.project import load_assistant
from core.dialogue.command_text import parse
from core.dialogue.engine import Engine
from core.dialogue.generator import LlmCommandGenerator
from core.dialogue.prompt import PromptRenderer
from core.e2e.patterns import choose_patterns
from core.e2e.reader import read_tests
from core.e2e.recording import Recording, read_recording
from core.e2e.results import TestResult
from core.e2e.runner import run_tests
from core.evaluation.differences import failed_tests
from core.evaluation.failures import FailedTest, group
from core.llm.client import ChatClient, Endpoint

CALLED = """
  insure:
    description: insure what is sent
    if: false
    steps:
      - action: utter_sorry
"""
SENT = """
- user: send it
- utter: utter_ask_street
- user: to Elm Road 4
- slot_was_set: [{street: Elm Road 4}]
- utter: utter_ask_weight
- user: three kg
- slot_was_set: [{weight: 3}]
- utter: utter_ask_sure
- user: sure
- utter: utter_booked
"""
OFFERED = """
- user: help
- bot: "Which do you mean: send parcel or complain?"
"""
RIGHT = {
    "send it": "start flow send_parcel",
    "to Elm Road 4": "set slot street Elm Road 4",
    "three kg": "set slot weight 3",
    "sure": "set slot sure True",
    "forget it": "cancel flow",
    "help": "disambiguate flows send_parcel complain",
    "hours on Friday": "start flow opening_hours\nset slot day Friday",
}


@pytest.fixture
def engine(make_assistant) -> Engine:
    return Engine(make_assistant(FLOWS + CALLED, DOMAIN))


@pytest.fixture
def play(engine, tmp_path):
    """play(answers, steps) → result of one test; `answers` by message go over what is right."""

    async def played(answers: Mapping[str, str], steps: str = SENT, name: str = "a test") -> TestResult:
        folder = tmp_path / "e2e_tests"
        folder.mkdir(exist_ok=True)
        text = f"test_cases:\n- test_case: {name}\n  steps:\n{textwrap.indent(steps.strip(), '  ')}\n"
        (folder / "e2e.yml").write_text(text)
        (case,) = read_tests(folder, tmp_path).cases
        known = {**RIGHT, **answers}

        def reply(prompt: str) -> str:
            return known[max(known, key=lambda message: prompt.rfind(f"USER: {message}"))]

        with ChatServer(reply).running() as server:
            async with ChatClient(Endpoint(server.url, "small"), retries=0) as client:
                renderer = PromptRenderer(engine.assistant, "v2", index=engine.index)
                source = LlmCommandGenerator(client, renderer, engine.index)
                (result,) = await run_tests(engine, [case], source)
        return result

    return played


def recording(*results: TestResult) -> Recording:
    """The right commands of each turn; none of buttons."""
    right = {message: parse(text, "v2").commands for message, text in RIGHT.items()}
    return Recording({r.case.id: tuple(right.get(turn.user) for turn in r.case.turns) for r in results})


@pytest.fixture
def explain(engine, play):
    async def explained(answers: Mapping[str, str], steps: str = SENT) -> FailedTest:
        result = await play(answers, steps)
        (failure,) = failed_tests([result], recording(result), engine, "v2")
        return failure

    return explained


async def test_what_is_right_is_no_failure(engine, play):
    result = await play({})
    assert result.passed
    assert failed_tests([result], recording(result), engine, "v2") == ()


async def test_what_is_offered_is_right_too(play):
    result = await play({}, OFFERED)
    assert result.passed, result.failures


async def test_a_wrong_value_with_its_place(explain):
    failure = await explain({"three kg": "set slot weight 30", "sure": "cancel flow"})
    assert failure == FailedTest(
        test="e2e_tests/e2e.yml::a test",
        cause="wrong value",
        flow="send_parcel",
        command="set slot",
        slot="weight",
        value="3",
        turn=3,
        line=9,
        user="three kg",
        expected="set slot weight 3",
        predicted="set slot weight 30",
        conversation=(
            "USER: send it",
            "AI: Which street?",
            "USER: to Elm Road 4",
            "AI: How heavy?",
            "USER: three kg",
        ),
        reason=failure.reason,
    )
    assert failure.reason.startswith("line 10: ")


@pytest.mark.parametrize(
    ("message", "answer", "cause", "flow", "command", "slot", "value"),
    [
        ("send it", "start flow complain", "wrong flow", "send_parcel", "start flow", "", ""),
        ("send it", "search and reply", "wrong flow", "send_parcel", "start flow", "", ""),
        ("send it", "start flow insure", "wrong flow", "send_parcel", "start flow", "", ""),
        (
            "to Elm Road 4",
            "set slot street Elm Road 4\nstart flow complain",
            "wrong flow",
            "send_parcel",
            "start flow",
            "",
            "",
        ),
        ("to Elm Road 4", "set slot weight 4", "missed slot", "send_parcel", "set slot", "street", "Elm Road 4"),
        ("to Elm Road 4", "set slot day Friday", "missed slot", "send_parcel", "set slot", "street", "Elm Road 4"),
        ("to Elm Road 4", "set slot street Elm Road", "wrong value", "send_parcel", "set slot", "street", "Elm Road 4"),
        ("three kg", "set slot weight three", "wrong value", "send_parcel", "set slot", "weight", "3"),
        (
            "to Elm Road 4",
            "set slot street Elm Road 4\nset slot weight 7",
            "invented slot",
            "send_parcel",
            "set slot",
            "weight",
            "7",
        ),
        ("sure", "cancel flow", "wrong command", "send_parcel", "set slot", "sure", "True"),
        ("send it", "start flow fly", "invalid command", "send_parcel", "start flow", "", ""),
        ("send it", "Happy to help!", "invalid command", "send_parcel", "start flow", "", ""),
        ("send it", "", "invalid command", "send_parcel", "start flow", "", ""),
        ("send it", "start flow pattern_completed", "invalid command", "send_parcel", "start flow", "", ""),
        ("to Elm Road 4", "set slot city Rome", "invalid command", "send_parcel", "set slot", "street", "Elm Road 4"),
        ("three kg", "set slot weight\nthree", "invalid command", "send_parcel", "set slot", "weight", "3"),
    ],
)
async def test_causes(explain, message, answer, cause, flow, command, slot, value):
    failure = await explain({message: answer})
    assert (failure.cause, failure.flow, failure.command) == (cause, flow, command)
    assert (failure.slot, failure.value) == (slot, value)
    assert (failure.user, failure.expected, failure.predicted) == (message, RIGHT[message], answer)
    assert failure.conversation[-1] == f"USER: {message}"


@pytest.mark.parametrize(
    ("answer", "cause", "command"),
    [
        ("cancel flow", "wrong command", "clarify"),
        ("disambiguate flows send_parcel opening_hours", "wrong command", "clarify"),
        ("start flow complain", "wrong flow", "start flow"),
        ("disambiguate flows send_parcel fly", "invalid command", "clarify"),
    ],
)
async def test_instead_of_a_clarification(explain, answer, cause, command):
    failure = await explain({"help": answer}, OFFERED)
    assert (failure.cause, failure.command, failure.flow) == (cause, command, "")


async def test_the_second_of_two_commands_is_missing(explain):
    failure = await explain(
        {"hours on Friday": "start flow opening_hours"}, "- user: hours on Friday\n- utter: utter_hours"
    )
    assert (failure.cause, failure.flow, failure.slot) == ("missed slot", "opening_hours", "day")


async def test_what_changes_nothing_is_no_difference(explain):
    failure = await explain(
        {
            "to Elm Road 4": "start flow send_parcel\nset slot street Elm Road 4",
            "three kg": "set slot weight 3.0",
            "sure": "cancel flow",
        }
    )
    assert (failure.turn, failure.cause) == (4, "wrong command")


async def test_commands_as_expected(explain):
    failure = await explain({}, SENT.replace("utter_ask_sure", "utter_sorry"))
    assert (failure.cause, failure.command, failure.turn, failure.user) == ("same commands", "", 3, "three kg")
    assert (failure.expected, failure.predicted) == ("set slot weight 3",) * 2
    assert failure.flow == "send_parcel"
    assert "utter_sorry" in failure.reason


async def test_what_went_wrong_after_the_test_broke_is_not_why(explain):
    failure = await explain({"sure": "cancel flow"}, SENT.replace("utter_ask_weight", "utter_sorry"))
    assert (failure.cause, failure.turn, failure.user) == ("same commands", 2, "to Elm Road 4")


async def test_a_greeting_that_fails(explain):
    failure = await explain({}, "- utter: utter_sorry\n" + SENT)
    assert (failure.cause, failure.turn, failure.line, failure.user) == ("same commands", 0, 2, "")
    assert (failure.expected, failure.predicted) == (None, None)


async def test_buttons_are_not_asked_about(explain):
    steps = SENT.replace("user: three kg", "user: /SetSlots(weight=3)")
    failure = await explain({"sure": "set slot sure False"}, steps)
    assert (failure.cause, failure.turn) == ("wrong value", 4)


async def test_without_recorded_commands_nothing_is_known(engine, play):
    result = await play({"three kg": "set slot weight three"})
    (failure,) = failed_tests([result], Recording({}), engine, "v2")
    assert (failure.cause, failure.turn, failure.expected) == ("not known", 3, None)
    assert failure.predicted == "set slot weight three"
    half = Recording({result.case.id: (*recording(result).turns[result.case.id][:2], None, None)})
    (failure,) = failed_tests([result], half, engine, "v2")
    assert (failure.cause, failure.turn) == ("not known", 3)


async def test_a_test_that_could_not_be_played_to_its_end(engine, play):
    result = await play({})
    ended = replace(result, passed=False, turns=result.turns[:2], error="the endpoint cannot be reached")
    (failure,) = failed_tests([ended], recording(result), engine, "v2")
    assert (failure.cause, failure.turn, failure.user) == ("not known", 3, "three kg")
    assert failure.conversation[-2:] == ("AI: How heavy?", "USER: three kg")
    assert failure.reason == "the endpoint cannot be reached"
    assert (failure.expected, failure.predicted) == ("set slot weight 3", None)


async def test_a_verdict_without_turns(engine, play):
    """As the `rasa` command leaves it."""
    result = replace(await play({"three kg": "set slot weight three"}), turns=())
    (failure,) = failed_tests([result], recording(result), engine, "v2")
    assert (failure.cause, failure.turn, failure.user) == ("not known", 3, "three kg")
    assert failure.predicted is None


@pytest.mark.parametrize("trade", ["garage", "museum"])
async def test_where_the_test_is_wrong_the_commands_are_not(trade):
    """Tests that must fail, played with what their messages mean."""
    folder = Path(__file__).resolve().parents[1] / "assistants" / trade
    assistant = load_assistant(folder)
    engine = Engine(assistant, patterns=choose_patterns(assistant, read_tests(folder / "e2e_tests", folder))[0])
    meant = read_recording(folder / "commands.yml")
    wrong = read_tests(folder / "must_fail", folder).cases
    results = await run_tests(engine, wrong, meant.source_for)
    groups = group(failed_tests(results, meant, engine, "v2"))
    assert groups.causes == {"same commands": len(wrong)}
    for result, failure in zip(results, groups.failures, strict=True):
        checks = [result.case.opening, *(turn.checks for turn in result.case.turns)]
        assert result.failures[0].check in checks[failure.turn]


async def test_facts_are_json(explain):
    failure = await explain({"three kg": "set slot weight 30"})
    facts = group([failure]).facts
    assert json.loads(json.dumps(facts)) == facts
    assert facts["cases"][0]["cause"] == "wrong value"
    assert (facts["failed"], facts["causes"], facts["flows"]) == (1, {"wrong value": 1}, {"send_parcel": 1})
    assert FailedTest(**{**facts["cases"][0], "conversation": failure.conversation}) == failure


# Many of them


def failed(cause: str, flow: str = "book", user: str = "a bed please", **fields: str) -> FailedTest:
    known = {"test": f"e2e.yml::{cause} {user}", "command": "set slot", "slot": "", "value": "", "predicted": "?"}
    return FailedTest(
        **{**known, **fields},
        cause=cause,
        flow=flow,
        turn=1,
        line=3,
        user=user,
        expected="start flow book",
        conversation=(f"USER: {user}",),
        reason="line 4: expected utter_done",
    )


def test_counts_are_most_frequent_first():
    failures = [
        failed("wrong flow", "pay", command="start flow"),
        failed("wrong value", slot="nights", value="3"),
        failed("wrong flow", "", command="start flow"),
        failed("not known", "", command=""),
        failed("missed slot", "book", slot="nights"),
    ]
    groups = group(iter(failures))
    assert groups.failures == tuple(failures)
    assert list(groups.causes.items()) == [("wrong flow", 2), ("missed slot", 1), ("not known", 1), ("wrong value", 1)]
    assert list(groups.flows.items()) == [("book", 2), ("no flow", 2), ("pay", 1)]
    assert list(groups.commands.items()) == [("set slot", 2), ("start flow", 2)]


def test_nothing_failed():
    assert group([]).facts == {"failed": 0, "causes": {}, "flows": {}, "commands": {}, "next_step": "", "cases": []}


@pytest.mark.parametrize(
    ("failures", "sentence"),
    [
        (
            [
                failed("wrong flow", "pay", "my bill"),
                failed("wrong flow", "book"),
                failed("wrong flow", "book", "a room"),
            ],
            'write more tests of flows book, pay, such as "a bed please", "a room", "my bill": '
            "in 3 of 3 failed tests another flow was started, or none, or one too many",
        ),
        (
            [
                failed("missed slot", slot="nights", value="3", user="three nights"),
                failed("not known"),
                failed("not known"),
            ],
            'write more tests in which users give slot nights in flow book, such as "three nights" (nights 3): '
            "1 of 3 failed tests failed on a slot left out",
        ),
        (
            [failed("wrong value", slot="room", value="attic", user="under the roof")],
            'write more tests with values of slot room in flow book, such as "under the roof" (room attic): '
            "in 1 of 1 failed test the value was another",
        ),
        (
            [failed("invented slot", slot="day", value="Friday")],
            'write more tests in which users do not give slot day in flow book, such as "a bed please": '
            "in 1 of 1 failed test the value was made up",
        ),
        (
            [failed("invalid command", predicted="Sure!\nI will.")],
            "train on more rows or for more epochs: in 1 of 1 failed test the answer was no valid command, "
            'such as "a bed please" ("Sure! I will.")',
        ),
        (
            [failed("wrong command", command="clarify", flow="")],
            'write more tests with clarify, such as "a bed please": in 1 of 1 failed test a command of another kind was written',
        ),
        (
            [failed("same commands", command="")],
            "look at what the tests expect: in 1 of 1 failed test the commands were right, "
            "e.g. e2e.yml::same commands a bed please: line 4: expected utter_done",
        ),
        (
            [failed("not known", command="")],
            "look at e2e.yml::not known a bed please first: in 1 of 1 failed test nothing tells which commands were wrong; "
            "line 4: expected utter_done",
        ),
    ],
)
def test_the_next_step_names_what_to_do(failures, sentence):
    assert group(failures).next_step == sentence
    assert group(failures[::-1]).next_step == sentence
    assert "\n" not in sentence


def test_a_few_examples_are_enough():
    failures = [failed("wrong flow", f"flow_{at}", f"message {at} {'x' * 100}") for at in range(9)]
    sentence = group(failures).next_step
    assert "flows flow_0, flow_1, flow_2 and 6 more" in sentence
    assert len(sentence) < 400


def test_what_was_learnt_and_fails_calls_for_more_training():
    new = [failed("wrong flow", user=f"new {at}") for at in range(3)]
    old = [failed("missed slot", flow, f"old {at}", slot="day") for at, flow in enumerate(["pay", "pay", "book"])]
    learnt = {failure.test for failure in old}
    assert group([*new, *old], learnt).next_step == (
        "train on more rows or for more epochs, most of all for flows pay, book: 3 of 6 failed tests are ones it learnt from"
    )
    assert group([*new, *old[:2]], learnt).next_step.startswith("write more tests of flow book")
    right = [failed("same commands", user=f"old {at}", command="") for at in range(5)]
    assert group([*new, *right], {failure.test for failure in right}).next_step.startswith("write more tests of flow")
