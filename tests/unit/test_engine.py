"""The engine, played as conversations: commands in, what the bot says out."""

from __future__ import annotations

from dataclasses import replace

import pytest
from rigs.conversations import DOMAIN, FLOWS, Chat, Price

from core.assistant.conditions import Predicate
from core.assistant.flows import END, Branch
from core.dialogue.actions import ActionAnswer, ActionUnavailable
from core.dialogue.commands import (
    CancelFlow,
    CannotHandle,
    ChitChat,
    Clarify,
    HumanHandoff,
    RepeatMessage,
    SearchAndReply,
    SetSlot,
    SkipQuestion,
    StartFlow,
)
from core.dialogue.engine import Engine
from core.dialogue.events import (
    ActionRan,
    BotSaid,
    FlowCancelled,
    FlowCompleted,
    FlowInterrupted,
    FlowResumed,
    FlowsOffered,
    FlowStarted,
    SlotSet,
    Warned,
)
from core.dialogue.source import UserMessage


@pytest.fixture
def engine(make_assistant) -> Engine:
    return Engine(make_assistant(FLOWS, DOMAIN), Price(), "3.13")


@pytest.fixture
def chat(engine) -> Chat:
    return Chat(engine)


def test_a_flow_asks_calls_computes_and_completes(chat):
    assert chat.say("send it", StartFlow("send_parcel")) == ["Which street?"]
    assert chat.say("Elm 4", SetSlot("street", "Elm 4")) == ["How heavy?"]
    assert chat.say("2 kg", SetSlot("weight", "2")) == ["That is 5.0.", "Card or cash?"]
    assert ActionRan("action_price") in chat.events
    assert chat.say("cash", SetSlot("method", "CASH")) == ["5.0 for Elm 4. Sure?"]
    assert FlowCompleted("pay", "0_collect_method") in chat.events or chat.of(FlowCompleted)
    assert chat.say("/SetSlots(sure=true)") == ["Booked.", "What else can I do for you?"]
    assert FlowCompleted("send_parcel", "done") in chat.events
    assert chat.tracker.slots["street"] is None
    assert chat.tracker.slots["method"] is None
    assert chat.tracker.slots["price"] == 5.0, "slots set by actions outlive the flow"
    assert chat.tracker.stack == ()


def test_values_given_ahead_are_not_asked_for(chat):
    said = chat.say("2 kg to Elm 4", StartFlow("send_parcel"), SetSlot("street", "Elm 4"), SetSlot("weight", 2))
    assert said == ["That is 5.0.", "Card or cash?"]


def test_ask_before_filling_asks_even_when_given_ahead(chat):
    said = chat.say(
        "all at once",
        StartFlow("send_parcel"),
        SetSlot("street", "Elm 4"),
        SetSlot("weight", 2),
        SetSlot("method", "cash"),
        SetSlot("sure", True),
    )
    assert said[-1] == "5.0 for Elm 4. Sure?"


def test_the_first_true_branch_is_taken(chat):
    chat.say("send", StartFlow("send_parcel"), SetSlot("street", "Elm 4"))
    assert chat.say("40", SetSlot("weight", "40"))[:1] == ["Too heavy."]


def test_a_rejected_value_is_cleared_and_asked_again(chat):
    chat.say("send", StartFlow("send_parcel"), SetSlot("street", "Elm 4"))
    assert chat.say("-1", SetSlot("weight", "-1")) == ["-1.0 is too light.", "How heavy?"]
    assert chat.say("lots", SetSlot("weight", "lots")) == ['"lots" is not a number I can use.', "How heavy?"]
    assert chat.tracker.slots["weight"] is None


def test_a_value_outside_the_categories_is_refused(chat):
    chat.say("send", StartFlow("send_parcel"), SetSlot("street", "Elm 4"), SetSlot("weight", 1))
    assert chat.say("shells", SetSlot("method", "shells")) == ['"shells" is not one of the choices.', "Card or cash?"]


def test_a_correction_goes_back_to_the_corrected_slot(chat):
    chat.say("send", StartFlow("send_parcel"), SetSlot("street", "Elm 4"))
    chat.say("2", SetSlot("weight", 2))
    assert chat.say("no, 4 kg", SetSlot("weight", 4)) == ["Noted: weight is now 4.0.", "That is 10.0.", "Card or cash?"]
    assert FlowStarted("pattern_correction") in chat.events


def test_several_corrections_are_one_pattern(chat):
    chat.say("send", StartFlow("send_parcel"), SetSlot("street", "Elm 4"), SetSlot("weight", 2))
    said = chat.say("Oak 1 and 4", SetSlot("street", "Oak 1"), SetSlot("weight", 4), SetSlot("method", "card"))
    assert said == ["Noted: street is now Oak 1, weight is now 4.0.", "That is 10.0.", "10.0 for Oak 1. Sure?"]


def test_a_slot_of_a_called_flow_can_be_corrected_after_it_returned(chat):
    chat.say(
        "send", StartFlow("send_parcel"), SetSlot("street", "Elm 4"), SetSlot("weight", 2), SetSlot("method", "card")
    )
    assert chat.say("cash rather", SetSlot("method", "cash"))[0] == "Noted: method is now Cash."
    assert chat.tracker.slots["method"] == "Cash"


def test_setting_the_same_value_again_changes_nothing(chat):
    chat.say("send", StartFlow("send_parcel"), SetSlot("street", "Elm 4"))
    assert chat.say("Elm 4!", SetSlot("street", "Elm 4")) == ["How heavy?"]
    assert chat.commands == ()


def test_cancelling_in_a_called_flow_cancels_its_parent(chat):
    chat.say("send", StartFlow("send_parcel"), SetSlot("street", "Elm 4"), SetSlot("weight", 2))
    assert chat.say("forget it", CancelFlow()) == [
        "All right, I have stopped send parcel.",
        "What else can I do for you?",
    ]
    assert [event.flow for event in chat.of(FlowCancelled)] == ["pay", "send_parcel"]
    assert chat.tracker.slots["street"] is None


def test_cancel_without_a_flow_does_nothing(chat):
    assert chat.say("stop", CancelFlow()) == []


def test_an_interruption_goes_back_to_the_question(chat):
    chat.say("send", StartFlow("send_parcel"))
    assert chat.say("hours?", StartFlow("opening_hours")) == ["Which day?"]
    assert FlowInterrupted("send_parcel", "0_collect_street") in chat.events or chat.of(FlowInterrupted)
    said = chat.say("Friday", SetSlot("day", "Friday"))
    assert said == ["Hours on Friday.", "Back to send parcel.", "Which street?"]
    assert chat.of(FlowResumed)


def test_newer_versions_ask_before_going_back(make_assistant):
    chat = Chat(Engine(make_assistant(FLOWS, DOMAIN), Price(), "newest"))
    chat.say("send", StartFlow("send_parcel"))
    chat.say("hours?", StartFlow("opening_hours"))
    assert chat.say("Friday", SetSlot("day", "Friday")) == ["Hours on Friday.", "Shall we go back to send parcel?"]
    assert chat.say("/SetSlots(continue_interrupted_flow_confirmation=true)") == ["Which street?"]
    chat.say("hours?", StartFlow("opening_hours"), SetSlot("day", "Monday"))
    chat.say("no", SetSlot("continue_interrupted_flow_confirmation", "no"))
    assert FlowCancelled("send_parcel", "0_collect_street") in chat.events or chat.of(FlowCancelled)
    assert chat.tracker.stack == ()


def test_newest_version_asks_for_more_after_the_last_flow(make_assistant):
    chat = Chat(Engine(make_assistant(FLOWS, DOMAIN), Price(), "newest"))
    said = chat.say("hours on Friday", StartFlow("opening_hours"), SetSlot("day", "Friday"))
    assert said == ["Hours on Friday.", "Is there anything else you need?"]
    assert chat.say("no", SetSlot("continue_conversation", False)) == [
        "All right, have a good day.",
        "Were you happy with this conversation?",
    ]
    assert chat.say("/SetSlots(csat_score=satisfied)") == ["Glad to hear it, thank you."]


def test_two_flows_started_at_once_run_one_after_the_other(chat):
    said = chat.say("both", StartFlow("opening_hours"), StartFlow("send_parcel"))
    assert said == ["Which day?"]
    assert chat.of(FlowStarted)[0].flow == "opening_hours"
    assert chat.say("Friday", SetSlot("day", "Friday")) == ["Hours on Friday.", "Which street?"]


def test_cancel_and_start_in_one_message(chat):
    chat.say("send", StartFlow("send_parcel"))
    assert chat.say("no, hours", CancelFlow(), StartFlow("opening_hours")) == [
        "All right, I have stopped send parcel.",
        "Which day?",
    ]
    assert chat.say("Friday", SetSlot("day", "Friday")) == ["Hours on Friday.", "What else can I do for you?"]


def test_a_guard_keeps_a_flow_from_being_started(engine):
    stranger, member = Chat(engine), Chat(engine, member=True)
    assert stranger.say("secret", StartFlow("secret")) == ["I did not get that. Could you say it in other words?"]
    assert member.say("secret", StartFlow("secret")) == ["Shh.", "Which day?"]
    assert member.say("Friday", SetSlot("day", "Friday"))[0] == "Members' hours on Friday."


def test_a_flow_that_may_only_be_called_cannot_be_started(chat):
    chat.say("pay", StartFlow("pay"))
    assert chat.commands == (CannotHandle(),)


def test_set_slots_persist_only_where_asked(chat):
    assert chat.say("tidy", StartFlow("tidy"))[0] == "kept gone"
    assert chat.tracker.slots["note"] == "kept"
    assert chat.tracker.slots["street"] is None


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        (ChitChat(), "That is outside what I can help with."),
        (SearchAndReply(), "I have no place to look that up."),
        (HumanHandoff(), "Nobody is free to take over right now, but I am still here."),
        (SkipQuestion(), "I do need this answer to go on."),
        (CannotHandle(), "I did not get that. Could you say it in other words?"),
    ],
)
def test_digressions_answer_and_repeat_the_question(chat, command, answer):
    chat.say("send", StartFlow("send_parcel"))
    assert chat.say("…", command) == [answer, "Which street?"]


def test_repeating_says_the_last_messages_again(chat):
    chat.say("send", StartFlow("send_parcel"))
    assert chat.say("pardon?", RepeatMessage()) == ["Which street?", "Which street?"]


def test_clarification_names_the_options(chat):
    assert chat.say("parcel hours", Clarify(("send_parcel", "opening_hours", "unknown"))) == [
        "Which do you mean: send parcel or opening hours?",
    ]
    assert chat.of(FlowsOffered) == [FlowsOffered(("send_parcel", "opening_hours"))]


def test_a_clarification_of_one_flow_starts_it(chat):
    assert chat.say("hours", Clarify(("opening_hours",))) == ["Which day?"]


def test_slots_of_other_flows_cannot_be_set(chat):
    chat.say("send", StartFlow("send_parcel"))
    chat.say("Friday", SetSlot("day", "Friday"))
    assert chat.commands == (CannotHandle(),)


def test_a_missing_action_is_an_error_or_a_warning(make_assistant):
    assistant = make_assistant(FLOWS, DOMAIN)
    given = (StartFlow("send_parcel"), SetSlot("street", "Elm 4"), SetSlot("weight", 2))
    with pytest.raises(ActionUnavailable, match="action_price"):
        Chat(Engine(assistant)).say("send", *given)
    lenient = Chat(Engine(assistant, require_actions=False))
    assert lenient.say("send", *given) == ["Card or cash?"]
    assert "action_price" in lenient.of(Warned)[0].message


def test_flows_in_circles_are_stopped(make_assistant):
    circle = """
    flows:
      round:
        description: goes round
        steps:
          - id: a
            action: utter_note
            next: [{if: "true", then: a}]
    """
    chat = Chat(Engine(make_assistant(circle, DOMAIN)))
    assert chat.say("go", StartFlow("round"))[-1] == "Something went wrong on my side. Please try again."
    assert chat.tracker.stack == ()


def test_the_same_commands_give_the_same_events(engine):
    script = [
        ("send", StartFlow("send_parcel")),
        ("Elm", SetSlot("street", "Elm")),
        ("2", SetSlot("weight", 2)),
        ("x", ChitChat()),
    ]
    one, two = Chat(engine), Chat(engine)
    for text, command in script:
        one.say(text, command)
        two.say(text, command)
    assert one.tracker.events == two.tracker.events


def test_a_tracker_is_the_fold_of_its_events(engine):
    chat = Chat(engine)
    chat.say("send", StartFlow("send_parcel"), SetSlot("street", "Elm 4"))
    chat.say("hours", StartFlow("opening_hours"))
    folded = engine.new_tracker()
    folded.apply_all(chat.tracker.events)
    assert folded.slots == chat.tracker.slots
    assert folded.stack == chat.tracker.stack


def test_slot_resets_are_marked(chat):
    chat.say("hours on Friday", StartFlow("opening_hours"), SetSlot("day", "Friday"))
    assert [event.reset for event in chat.of(SlotSet)] == [False, True]


NLU_DOMAIN = """
slots:
  who: {type: text, mappings: [{type: controlled, run_action_every_turn: action_recognise}]}
  where: {type: text, mappings: [{type: custom, action: action_recognise}]}
  size: {type: text, mappings: [{type: from_llm, conditions: [{active_flow: order}]}]}
  colour: {type: text, mappings: [{type: from_entity, conditions: [{active_flow: order}]}]}
actions: [action_recognise]
responses:
  utter_ask_size: [{text: "Which size?"}]
"""
NLU_FLOWS = """
flows:
  order: {description: order, steps: [{collect: size}]}
  change: {description: change, steps: [{collect: size}]}
  broken: {description: broken, steps: [{action: action_deactivate_loop}, {link: order}]}
"""


class Recogniser:
    def __init__(self):
        self.calls = 0

    def run(self, name, tracker):
        self.calls += 1
        event = {"event": "slot", "name": "who", "value": f"caller {self.calls}"}
        return ActionAnswer(events=(event,), responses=({"text": "Hm", "attachment": "x.pdf"},))


def test_an_action_that_runs_every_turn_runs_once_after_each_message(make_assistant):
    engine = Engine(make_assistant(NLU_FLOWS, NLU_DOMAIN), recogniser := Recogniser())
    tracker = engine.new_tracker()
    engine.start(tracker)
    assert recogniser.calls == 0
    events = engine.handle(tracker, UserMessage("hi"), [StartFlow("order")])
    assert (recogniser.calls, tracker.slots["who"]) == (1, "caller 1")
    assert events.index(ActionRan("action_recognise")) < events.index(FlowStarted("order"))
    assert Warned("action action_recognise said something with attachment, which was left out") in events


def test_an_every_turn_action_that_nobody_runs_stops_nothing(make_assistant):
    engine = Engine(make_assistant(NLU_FLOWS, NLU_DOMAIN))
    tracker = engine.new_tracker()
    events = engine.handle(tracker, UserMessage("hi"), [StartFlow("order")])
    assert FlowStarted("order") in events
    assert any(isinstance(event, Warned) and "action_recognise cannot be run" in event.message for event in events)


def test_a_mapping_for_one_flow_fills_nothing_in_another(make_assistant):
    engine = Engine(make_assistant(NLU_FLOWS, NLU_DOMAIN), Recogniser())
    for flow, size in (("order", "large"), ("change", None)):
        tracker = engine.new_tracker()
        engine.handle(tracker, UserMessage("hi"), [StartFlow(flow), SetSlot("size", "large")])
        engine.handle(tracker, UserMessage("x"), [SetSlot("size", "large")])
        assert (FlowCompleted(flow, "0_collect_size") in tracker.events) is (size is not None)
    tracker = engine.new_tracker()
    text = '/paint{"colour": "red"}'
    engine.handle(tracker, UserMessage(text), engine.payload_commands(text))
    assert tracker.slots["colour"] is None
    engine.handle(tracker, UserMessage("hi"), [StartFlow("order")])
    engine.handle(tracker, UserMessage(text), engine.payload_commands(text))
    assert tracker.slots["colour"] == "red"


class Odd:
    def run(self, name, tracker):
        return ActionAnswer(({"event": "slot", "name": "stret", "value": "Elm"},), ({"text": 12.5},))


def test_an_action_that_sets_no_slot_of_the_domain_is_told_and_says_numbers(make_assistant):
    domain = "actions: [action_odd]\nslots: {street: {type: text}}"
    flows = "flows: {a: {description: x, steps: [{action: action_odd}]}}"
    chat = Chat(Engine(make_assistant(flows, domain), Odd(), "3.13"))
    assert chat.say("hi", StartFlow("a"))[0] == "12.5"
    assert chat.of(Warned) == [Warned("action action_odd set stret, which is no slot of the domain; did you mean street?")]


def test_flows_read_what_actions_return_without_a_slot_in_the_domain(make_assistant):
    class Checks:
        def run(self, name, tracker):
            return ActionAnswer(events=({"event": "slot", "name": "return_value", "value": "success"},))

    flows = """
    flows:
      a:
        description: x
        steps:
          - action: action_check
            next:
              - if: slots.return_value = "success"
                then: [{action: utter_done, next: END}]
              - else: END
    """
    domain = "actions: [action_check]\nresponses: {utter_done: [{text: done}]}"
    chat = Chat(Engine(make_assistant(flows, domain), Checks(), "3.13"))
    assert chat.say("hi", StartFlow("a"))[0] == "done"
    assert not chat.of(Warned)


def test_an_intent_fills_a_slot_of_the_flow_that_it_starts(make_assistant):
    flows = (
        "flows: {help: {description: a, nlu_trigger: [{intent: accident}], steps: [{collect: urgent}, {action: utter_go}]},"
        " other: {description: b, steps: [{collect: urgent}]}}"
    )
    domain = (
        "intents: [accident, hurry]\nresponses: {utter_go: [{text: go}], utter_ask_urgent: [{text: urgent?}]}\nslots: {urgent: {type: bool,"
        " mappings: [{type: from_intent, intent: accident, value: true, conditions: [{active_flow: help}]}, {type: from_llm}]}}"
    )
    chat = Chat(Engine(make_assistant(flows, domain), None, "3.13"))
    assert chat.say("/accident")[0] == "go"
    chat = Chat(Engine(make_assistant(flows, domain), None, "3.13"))
    assert chat.say("hi", StartFlow("other")) == ["urgent?"]


def test_a_button_may_choose_a_category_called_none(make_assistant):
    flows = "flows: {a: {description: x, steps: [{collect: cover}, {action: utter_done}]}}"
    said = "utter_ask_cover: [{text: cover?}], utter_done: [{text: done}]"
    domain = f"slots: {{cover: {{type: categorical, values: [full, none]}}}}\nresponses: {{{said}}}"
    chat = Chat(Engine(make_assistant(flows, domain), None, "3.13"))
    chat.say("a", StartFlow("a"))
    assert chat.say("/SetSlots(cover=null)")[0] == "cover?"
    assert chat.say("/SetSlots(cover=none)")[0] == "done"


def test_doubled_braces_of_a_response_are_said_as_single_ones(make_assistant):
    flows = "flows: {a: {description: x, steps: [{set_slots: [{dish: soup}]}, {action: utter_menu}]}}"
    said = """{text: 'the {{dish}}', buttons: [{title: yes, payload: '/order{{"dish": "{dish}"}}'}]}"""
    domain = f"slots: {{dish: {{type: text}}}}\nresponses: {{utter_menu: [{said}]}}"
    chat = Chat(Engine(make_assistant(flows, domain), None, "3.13"))
    assert chat.say("a", StartFlow("a"))[0] == "the {dish}"
    assert chat.of(BotSaid)[0].buttons[0].payload == '/order{"dish": "soup"}'


def test_a_condition_that_cannot_be_read_stops_no_engine(make_assistant):
    assistant = make_assistant("flows: {a: {description: x, steps: [{action: action_listen}]}}", "slots: {s: {type: text}}")
    branch = Branch(END, Predicate("slots.s ==="))
    step = replace(assistant.flows["a"].steps[0], next=(branch,))
    flow = replace(assistant.flows["a"], steps=(step,))
    chat = Chat(Engine(replace(assistant, flows={"a": flow}), None, "3.13"))
    assert chat.say("hi", StartFlow("a")) == []


def test_a_button_for_a_slot_that_is_none_is_told(chat):
    chat.say("/SetSlots(stret=Elm 4)")
    (warned,) = chat.of(Warned)
    assert warned.message == "/SetSlots sets stret, which is left aside: it is no slot of the domain; did you mean street?"


def test_an_intent_that_reaches_nothing_is_told(make_assistant):
    engine = Engine(make_assistant(NLU_FLOWS, NLU_DOMAIN), Recogniser())
    events = engine.handle(engine.new_tracker(), UserMessage("/paint"), engine.payload_commands("/paint"))
    assert Warned("/paint starts no flow and fills no slot; it was left aside") in events


def test_an_action_of_rules_does_nothing_and_the_flow_goes_on(make_assistant):
    engine = Engine(make_assistant(NLU_FLOWS, NLU_DOMAIN), Recogniser())
    events = engine.handle(engine.new_tracker(), UserMessage("hi"), [StartFlow("broken")])
    assert ActionRan("action_deactivate_loop") in events
    assert FlowStarted("order") in events
