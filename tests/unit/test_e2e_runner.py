"""Playing tests on the real engine: sources, stubs, fixtures, errors; recordings of what was understood."""

from __future__ import annotations

import asyncio
import textwrap
import threading
from collections.abc import Callable, Mapping, Sequence

import pytest
from rigs.parcels import DOMAIN, FLOWS

from core.dialogue.actions import ActionAnswer
from core.dialogue.commands import CancelFlow, Clarify, Command, InternalError, SetSlot, SkipQuestion, StartFlow
from core.dialogue.engine import Engine
from core.dialogue.events import ActionRan, BotSaid
from core.dialogue.source import Prediction, UserMessage
from core.dialogue.tracker import Tracker
from core.e2e.cases import TestSuite
from core.e2e.reader import read_tests
from core.e2e.recording import read_recording, write_recording
from core.e2e.results import TestResult
from core.e2e.runner import run_tests
from core.errors import ProblemsError, ProviderError

PRICED = (
    FLOWS
    + """
  price:
    description: what a parcel costs
    steps:
      - action: action_price
      - action: utter_price
"""
)
PRICED_DOMAIN = (
    DOMAIN
    + """
  utter_price: [{text: "That is {price}."}]
actions: [action_price]
"""
)

UNDERSTOOD: dict[str, tuple[Command, ...]] = {
    "send it": (StartFlow("send_parcel"),),
    "to Elm Road 4": (SetSlot("street", "Elm Road 4"),),
    "3 kg": (SetSlot("weight", "3"),),
    "forget it": (CancelFlow(),),
    "what does it cost": (StartFlow("price"),),
    "help": (Clarify(("send_parcel", "complain")),),
}


class Phrasebook:
    """A command source that knows sentences by heart, and how many are looked up at once."""

    def __init__(self, entries: Mapping[str, Sequence[Command]] = UNDERSTOOD) -> None:
        self.entries = entries
        self.asked: list[str] = []
        self.now = self.most = 0

    async def predict(self, tracker: Tracker, message: UserMessage) -> Prediction:
        self.asked.append(message.text)
        self.now += 1
        self.most = max(self.most, self.now)
        await asyncio.sleep(0)
        self.now -= 1
        if message.text not in self.entries:
            raise ProviderError("the endpoint cannot be reached; try again")
        return Prediction(tuple(self.entries[message.text]))


@pytest.fixture
def engine(make_assistant) -> Engine:
    return Engine(make_assistant(PRICED, PRICED_DOMAIN.replace("responses:", "  price: {type: any}\nresponses:", 1)))


@pytest.fixture
def read(tmp_path) -> Callable[[str], TestSuite]:
    def read_text(text: str) -> TestSuite:
        file = tmp_path / "e2e_tests" / "all.yml"
        file.parent.mkdir(exist_ok=True)
        file.write_text(textwrap.dedent(text))
        return read_tests(file, tmp_path)

    return read_text


@pytest.fixture
def run(engine, read) -> Callable[..., list[TestResult]]:
    """run(steps of one test or a whole file, source=…, …) → results."""

    async def play(text: str, source: object = None, **options: object) -> list[TestResult]:
        if "test_cases" not in text:
            steps = textwrap.indent(textwrap.dedent(text).strip(), "  ")
            text = f"test_cases:\n- test_case: only\n  steps:\n{steps}\n"
        return await run_tests(engine, read(text).cases, source or Phrasebook(), **options)  # type: ignore[arg-type]

    return play


async def test_a_test_passes_when_every_turn_shows_what_it_should(run):
    source = Phrasebook()
    (result,) = await run(
        """
        - user: send it
        - utter: utter_ask_street
        - user: to Elm Road 4
        - slot_was_set: [street: Elm Road 4]
        - bot: How heavy?
        - user: 3 kg
        - slot_was_set: [weight: 3]
        - user: /SetSlots(sure=true)
        - utter: utter_booked
        """,
        source,
    )
    assert (result.passed, result.failures, result.error) == (True, (), None)
    assert source.asked == ["send it", "to Elm Road 4", "3 kg"]
    assert result.turns[3].prediction is None
    assert result.turns[3].commands == (SetSlot("sure", "true"),) or result.turns[3].commands == (
        SetSlot("sure", True),
    )
    assert ("send_parcel", "done") in result.visited


async def test_a_classic_test_goes_on_after_a_failure(run):
    (result,) = await run("""
        - user: send it
        - utter: utter_ask_weight
        - user: to Elm Road 4
        - utter: utter_ask_street
    """)
    assert [failure.check.value for failure in result.failures] == ["utter_ask_weight", "utter_ask_street"]
    assert len(result.turns) == 2


async def test_an_asserted_test_stops_at_its_first_failure(run):
    (result,) = await run("""
        - user: send it
          assertions:
          - flow_started: send_parcel
          - flow_started: complain
          - bot_uttered: {utter_name: utter_ask_street}
        - user: to Elm Road 4
          assertions:
          - slot_was_set: [{name: street}]
          - bot_uttered: {utter_name: utter_ask_weight}
    """)
    assert [failure.line for failure in result.failures] == [7]
    assert result.skipped_checks == 3
    assert len(result.turns) == 1
    assert result.assertion_counts == (("flow_started", 1, 1),)


async def test_a_clarification_names_the_flows_it_offers(run):
    (result,) = await run("""
        - user: help
          assertions:
          - pattern_clarification_contains: [send_parcel, complain]
    """)
    assert result.passed


async def test_generative_assertions_are_counted_and_said(run):
    (result,) = await run("""
        - user: send it
          assertions:
          - generative_response_is_relevant: {threshold: 0.9}
          - flow_started: send_parcel
    """)
    assert result.passed
    assert result.skipped_checks == 1
    assert result.warnings == ("generative_response_is_relevant was skipped: no model judges texts here",)


async def test_fixtures_are_set_before_the_first_message(run):
    (result,) = await run("""
        fixtures: [{heavy: [{weight: 40}]}]
        test_cases:
        - test_case: only
          fixtures: [heavy]
          steps:
          - user: send it
          - user: to Elm Road 4
          - utter: utter_ask_sure
    """)
    assert result.passed


async def test_the_greeting_is_checked_before_the_first_message(run, make_assistant, read):
    steps = "- utter: utter_hours\n- user: send it\n"
    (result,) = await run(steps)
    assert [failure.check.value for failure in result.failures] == ["utter_hours"]
    greeting = "\n  pattern_session_start: {description: hello, steps: [{action: utter_sorry}]}"
    engine = Engine(make_assistant(FLOWS + greeting, DOMAIN))
    suite = read("test_cases: [{test_case: a, steps: [{utter: utter_sorry}, {user: send it}]}]")
    (result,) = await run_tests(engine, suite.cases, Phrasebook())
    assert result.passed
    assert any(isinstance(event, BotSaid) for event in result.opening)


async def test_stubs_answer_for_their_test(run):
    dear, free, missing = await run("""
        stub_custom_actions:
          action_other: {}
          dear::action_price: {events: [{event: slot, name: price, value: 12.5}]}
          free::action_price: {responses: [{text: It is free.}]}
        test_cases:
        - {test_case: dear, steps: [{user: what does it cost}, {bot: That is 12.5.}, {slot_was_set: [price: 12.5]}]}
        - {test_case: free, steps: [{user: what does it cost}, {bot: It is free.}]}
        - {test_case: missing, steps: [{user: what does it cost}]}
    """)
    assert dear.passed
    assert free.passed
    assert missing.error == (
        "action action_price is not stubbed (stubbed: action_other); add it to stub_custom_actions"
    )
    assert not missing.passed


async def test_without_stubs_the_given_actions_run_outside_the_loops_thread(run):
    class Prices:
        def __init__(self) -> None:
            self.threads: list[int] = []

        def run(self, name: str, tracker: Tracker) -> ActionAnswer:
            self.threads.append(threading.get_ident())
            return ActionAnswer(({"event": "slot", "name": "price", "value": 3},))

    prices = Prices()
    (result,) = await run("- user: what does it cost\n- bot: That is 3.\n", actions=prices)
    assert result.passed
    assert ActionRan("action_price") in result.turns[0].events
    assert threading.get_ident() not in prices.threads


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (RuntimeError("no such table"), "RuntimeError: no such table"),
        (ActionAnswer(("slot",)), "AttributeError"),  # type: ignore[arg-type]
    ],
)
async def test_a_broken_action_ends_its_test_alone(run, answer, said):
    class Broken:
        def run(self, name: str, tracker: Tracker) -> ActionAnswer:
            if isinstance(answer, Exception):
                raise answer
            return answer

    broken, sound = await run(
        """
        test_cases:
        - {test_case: broken, steps: [{user: send it}, {user: what does it cost}]}
        - {test_case: sound, steps: [{user: send it}]}
        """,
        actions=Broken(),
    )
    assert not broken.passed
    assert broken.error is not None
    assert said in broken.error
    assert len(broken.turns) == 1
    assert sound.passed


async def test_actions_that_nobody_can_run_fail_the_test_or_are_noted(run):
    (failed,) = await run("- user: what does it cost\n")
    assert failed.error is not None
    assert failed.error.startswith("action action_price cannot be run")
    (noted,) = await run("- user: what does it cost\n", require_actions=False)
    assert noted.passed
    assert noted.warnings[0].startswith("action action_price cannot be run")


async def test_a_provider_that_is_down_is_an_error_of_the_test(run):
    (result,) = await run("- user: send it\n- user: who knows\n")
    assert (result.passed, result.error) == (False, "the endpoint cannot be reached; try again")
    assert len(result.turns) == 1


async def test_a_payload_that_cannot_be_read_is_an_error_of_the_test(run):
    (result,) = await run("- user: /SetSlots(sure\n")
    assert result.error is not None
    assert "write /SetSlots(slot=value" in result.error


MANY = "test_cases:\n" + "".join(f"- {{test_case: t{at}, steps: [{{user: send it}}]}}\n" for at in range(12))


async def test_tests_run_at_once_and_results_keep_their_order(run):
    source, seen = Phrasebook(), []
    results = await run(MANY, source, concurrency=4, on_result=lambda result: seen.append(result.case.name))
    assert [result.case.name for result in results] == [f"t{at}" for at in range(12)]
    assert sorted(seen) == sorted(result.case.name for result in results)
    assert source.most == 4


async def test_fail_fast_leaves_out_what_has_not_begun(run):
    results = await run(MANY, Phrasebook({}), concurrency=1, fail_fast=True)
    assert [result.case.name for result in results] == ["t0"]


async def test_conversations_do_not_meet(run):
    text = """
        test_cases:
        - {test_case: a, steps: [{user: send it}, {user: to Elm Road 4}, {utter: utter_ask_weight}]}
        - {test_case: b, steps: [{user: to Elm Road 4}, {slot_was_not_set: [street]}]}
    """
    assert [result.passed for result in await run(text)] == [True, True]


# Recordings


async def test_a_recording_replays_what_was_understood(run, tmp_path):
    too_long = InternalError("rasa_internal_error_user_input_too_long", (("max_characters", 420),))
    entries = {**UNDERSTOOD, "skip": (SkipQuestion(),), "long": (too_long,), "nothing": ()}
    text = """
        - user: send it
        - user: /SetSlots(street=Home)
        - user: skip
        - user: long
        - user: nothing
        - user: help
    """
    (result,) = await run(text, Phrasebook(entries))
    for dialect in ("v1", "v2", "v3"):
        write_recording([result], tmp_path / "commands.yml", dialect)
        (again,) = await run(text, read_recording(tmp_path / "commands.yml").source_for)
        assert [turn.commands for turn in again.turns] == [turn.commands for turn in result.turns]
        assert [turn.events for turn in again.turns] == [turn.events for turn in result.turns]


async def test_a_recording_that_lacks_a_test_or_turn_says_which(run, tmp_path):
    (tmp_path / "commands.yml").write_text(
        "conversations:\n"
        "- original_test_case: e2e_tests/all.yml::one\n"
        "  steps: [{user: send it, llm_commands: [start flow send_parcel]}]\n"
    )
    one, two = await run(
        """
        test_cases:
        - {test_case: one, steps: [{user: send it}, {user: 3 kg}]}
        - {test_case: two, steps: [{user: send it}]}
        """,
        read_recording(tmp_path / "commands.yml").source_for,
    )
    assert one.error == "the recording has no commands for turn 2 ('3 kg') of test e2e_tests/all.yml::one"
    assert two.error == "the recording has no commands for test e2e_tests/all.yml::two"


def test_a_recording_is_checked(tmp_path):
    file = tmp_path / "commands.yml"
    file.write_text(
        "conversations:\n"
        "- original_test_case: a::b\n"
        "  steps:\n"
        "  - {user: x, llm_commands: [start flow a, do something]}\n"
        "- original_test_case: a::b\n"
        "- steps: []\n"
    )
    with pytest.raises(ProblemsError) as caught:
        read_recording(file)
    assert str(caught.value).splitlines() == [
        "commands.yml:4: 'do something' is no command",
        "commands.yml:5: test a::b is recorded twice",
        "commands.yml:6: a conversation needs `original_test_case: file::name`",
    ]
    file.write_text("test_cases: []")
    with pytest.raises(ProblemsError, match="a recording has a list `conversations`"):
        read_recording(file)
