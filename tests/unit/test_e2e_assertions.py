"""Judging turns: what counts as fulfilled, and what a failure says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from core.assistant.domain import Button
from core.dialogue.commands import StartFlow
from core.dialogue.events import (
    ActionRan,
    BotSaid,
    Event,
    FlowCancelled,
    FlowCompleted,
    FlowsOffered,
    FlowStarted,
    SlotSet,
    UserSaid,
)
from core.dialogue.tracker import Tracker
from core.e2e.assertions import Judgement, judge
from core.e2e.cases import ANY, Check, Turn

DOMAIN = """
slots:
  street: {type: text}
  weight: {type: float}
  sure: {type: bool}
  day: {type: categorical, values: [Monday, Friday]}
  anything: {type: any}
"""
EVENTS: tuple[Event, ...] = (
    UserSaid("send it", (StartFlow("send"),)),
    FlowStarted("send"),
    FlowStarted("track"),
    SlotSet("street", "Elm Road 4"),
    SlotSet("weight", 5.0),
    ActionRan("action_price"),
    BotSaid("That costs 12.50.\n", action="action_price"),
    SlotSet("anything", "5"),
    FlowCompleted("send", "done"),
    FlowCancelled("track", "ask"),
    SlotSet("weight", None, reset=True),
    FlowsOffered(("send", "track")),
    BotSaid("Sure?", "utter_ask_sure", (Button("Yes", "/SetSlots(sure=true)"), Button("No", "/SetSlots(sure=false)"))),
)


@pytest.fixture
def decide(make_assistant) -> Callable[..., Judgement]:
    """decide((kind, value), …, ordered=False, classic=False, events=EVENTS) → the judgement of one turn."""
    domain = make_assistant("flows: {a: {description: a, steps: [{noop: true, next: END}]}}", DOMAIN).domain

    def decide_turn(
        *checks: tuple[str, Any], ordered: bool = False, classic: bool = False, events: Sequence[Event] = EVENTS
    ) -> Judgement:
        tracker = Tracker({slot.name: slot.initial_value for slot in domain.slots.values()})
        tracker.apply_all(events)
        found = tuple(Check(kind, value, line) for line, (kind, value) in enumerate(checks, 1))  # type: ignore[arg-type]
        return judge(found, events, tracker, domain, Turn("send it", 1, found, {}, not classic, ordered))

    return decide_turn


@pytest.mark.parametrize(
    ("kind", "holds", "fails"),
    [
        ("flow_started", ("all", ("send",)), ("all", ("pay",))),
        ("flow_started", ("all", ("track", "send")), ("all", ("send", "pay"))),
        ("flow_started", ("any", ("pay", "track")), ("any", ("pay", "bill"))),
        ("flow_completed", ("send", None), ("track", None)),
        ("flow_completed", ("send", "done"), ("send", "ask")),
        ("flow_cancelled", ("track", "ask"), ("send", None)),
        ("pattern_clarification_contains", ("all", ("track", "send")), ("all", ("send", "pay"))),
        ("pattern_clarification_contains", ("any", ("pay", "send")), ("any", ("pay",))),
        ("action_executed", "action_price", "action_pay"),
        ("action_executed", "utter_ask_sure", "utter_ask_street"),
        ("slot_was_set", ("street", "Elm Road 4"), ("street", "Oak Lane 1")),
        ("slot_was_set", ("street", ANY), ("day", ANY)),
        ("slot_was_set", ("day", None), ("street", None)),
        ("slot_was_not_set", ("weight", ANY), ("street", ANY)),
        ("slot_was_not_set", ("street", "Oak Lane 1"), ("street", "Elm Road 4")),
        ("bot_uttered", {"utter_name": "utter_ask_sure"}, {"utter_name": "utter_ask_street"}),
        ("bot_uttered", {"text_matches": "costs 12"}, {"text_matches": "costs 13"}),
        ("bot_uttered", {"text_matches": r"(?i)COSTS \d+\.50"}, {"text_matches": r"^costs"}),
        ("bot_uttered", {"text_matches": "Sure?"}, {"text_matches": "Sure?("}),
        (
            "bot_uttered",
            {"utter_name": "utter_ask_sure", "text_matches": "Sure"},
            {"utter_name": "utter_ask_sure", "text_matches": "costs"},
        ),
        ("bot_uttered", {"buttons": [{"title": "Yes"}, {"title": "No"}]}, {"buttons": [{"title": "Yes"}]}),
        (
            "bot_uttered",
            {"buttons": [{"title": "Yes", "payload": "/SetSlots(sure=true)"}, {"payload": "/SetSlots(sure=false)"}]},
            {"buttons": [{"title": "No"}, {"title": "Yes"}]},
        ),
        ("bot_did_not_utter", {"text_matches": "Booked"}, {"text_matches": "Sure"}),
    ],
)
def test_assertions(decide, kind, holds, fails):
    assert not decide((kind, holds)).failures
    (failure,) = decide((kind, fails)).failures
    assert failure.check.kind == kind
    assert failure.message.startswith("expected ")
    assert failure.difference[0].startswith("+ ")


@pytest.mark.parametrize(
    ("kind", "holds", "fails"),
    [
        ("bot", "That costs 12.50.", "that costs 12.50."),
        ("utter", "utter_ask_sure", "utter_sure"),
        ("slot_was_set", ("street", ANY), ("sure", ANY)),
        ("slot_was_not_set", ("sure", ANY), ("weight", ANY)),
        ("slot_was_not_set", ("weight", 6), ("weight", 5)),
    ],
)
def test_classic_checks(decide, kind, holds, fails):
    assert not decide((kind, holds), classic=True).failures
    assert decide((kind, fails), classic=True).failures


@pytest.mark.parametrize(
    ("slot", "actual", "expected", "equal"),
    [
        ("weight", 5.0, "5", True),
        ("weight", 5.0, 5, True),
        ("weight", 5.0, "five", False),
        ("street", "5", 5, True),
        ("street", "elm", "Elm", False),
        ("sure", True, "true", True),
        ("sure", True, False, False),
        ("day", "Monday", "monday", True),
        ("anything", "5", 5, False),
        ("anything", [1, 2], [1, 2], True),
        ("unknown", 5, 5, True),
    ],
)
def test_values_are_compared_as_the_slots_type_reads_them(decide, slot, actual, expected, equal):
    events = (UserSaid("x"), SlotSet(slot, actual))
    assert bool(decide(("slot_was_set", (slot, expected)), events=events).passed) is equal


def test_what_the_engine_resets_is_seen_only_where_an_empty_slot_is_expected(decide):
    assert decide(("slot_was_set", ("weight", 5.0)), classic=True).passed
    assert decide(("slot_was_set", ("weight", None)), classic=True).passed
    events = (UserSaid("x"), SlotSet("weight", None, reset=True))
    assert decide(("slot_was_set", ("weight", ANY)), classic=True, events=events).failures
    assert decide(("slot_was_not_set", ("weight", ANY)), classic=True, events=events).passed


def test_several_messages_of_a_turn_may_fulfil_assertions(decide):
    assert (
        len(decide(("bot_uttered", {"text_matches": "Sure"}), ("bot_uttered", {"text_matches": "costs"})).passed) == 2
    )


def test_in_order_each_search_begins_after_the_previous_match(decide):
    checks = (("bot_uttered", {"text_matches": "costs"}), ("bot_uttered", {"utter_name": "utter_ask_sure"}))
    assert not decide(*checks, ordered=True).failures
    (failure,) = decide(*reversed(checks), ordered=True).failures
    assert failure.line == 2
    assert not decide(*reversed(checks)).failures


def test_in_order_one_message_fulfils_one_assertion(decide):
    twice = [("bot_uttered", {"text_matches": "Sure"})] * 2
    assert not decide(*twice).failures
    assert decide(*twice, ordered=True).failures


def test_the_first_failing_assertion_ends_the_judgement(decide):
    found = decide(("action_executed", "action_price"), ("action_executed", "no"), ("action_executed", "never"))
    assert ([c.value for c in found.passed], [f.check.value for f in found.failures]) == (["action_price"], ["no"])
    assert [check.value for check in found.skipped] == ["never"]


def test_all_classic_checks_are_judged(decide):
    found = decide(("utter", "no"), ("utter", "utter_ask_sure"), ("utter", "never"), classic=True)
    assert [failure.check.value for failure in found.failures] == ["no", "never"]
    assert not found.skipped


def test_generative_assertions_are_neither_passed_nor_failed(decide):
    found = decide(("generative_response_is_relevant", {"threshold": 0.9}), ("action_executed", "action_price"))
    assert [check.kind for check in found.skipped] == ["generative_response_is_relevant"]
    assert [check.kind for check in found.passed] == ["action_executed"]
    assert not found.failures


def test_a_failure_says_what_came_instead(decide):
    (failure,) = decide(("slot_was_set", ("street", "Oak Lane 1"))).failures
    assert failure.message == "expected slot_was_set street = 'Oak Lane 1', but street became 'Elm Road 4'"
    assert failure.difference == ("+ slot_was_set street = 'Oak Lane 1'", "- street became 'Elm Road 4'")
    (failure,) = decide(("utter", "utter_bye"), classic=True).failures
    assert failure.difference[1:] == ("- action_price said 'That costs 12.50.\\n'", "- utter_ask_sure said 'Sure?'")
    (failure,) = decide(("action_executed", "a"), events=(UserSaid("x"),)).failures
    assert failure.message == "expected action_executed: a, but nothing of the kind happened"
    (failure,) = decide(("slot_was_set", ("town", ANY))).failures
    assert failure.message == "expected slot_was_set town, but slot town is not in the domain"
