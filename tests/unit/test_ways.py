"""Ways through flows: going back when something is corrected, coming back to what waits, what each version offers."""

from __future__ import annotations

import pytest
from rigs.conversations import DOMAIN, FLOWS, Chat, Price

from core.dialogue.commands import CancelFlow, Clarify, SetSlot, StartFlow
from core.dialogue.engine import Engine
from core.dialogue.events import FlowsOffered, SlotSet

BRANCHES = """
flows:
  report:
    description: report something
    steps:
      - collect: kind
        next:
          - if: slots.kind = "theft"
            then:
              - collect: place
                next:
                  - action: utter_police
                    next: about
          - else: accident
      - id: accident
        collect: place
        next:
          - action: utter_help
            next: about
      - id: about
        call: describe
      - collect: witness
      - call: describe_more
      - collect: sure
        ask_before_filling: true
  describe:
    description: describe it
    if: false
    steps:
      - collect: detail
  describe_more:
    description: describe it further
    if: false
    steps:
      - call: describe
      - collect: remark
        ask_before_filling: true
"""
BRANCHES_DOMAIN = """
slots:
  kind: {type: text}
  place: {type: text}
  detail: {type: text}
  witness: {type: text}
  remark: {type: text}
  sure: {type: bool}
responses:
  utter_ask_kind: [{text: "Kind?"}]
  utter_ask_place: [{text: "Place?"}]
  utter_ask_detail: [{text: "Detail?"}]
  utter_ask_witness: [{text: "Witness?"}]
  utter_ask_remark: [{text: "Remark?"}]
  utter_ask_sure: [{text: "{kind} {place}?"}]
  utter_police: [{text: Police.}]
  utter_help: [{text: Help.}]
"""


@pytest.fixture
def report(make_assistant) -> Chat:
    """A conversation that stands at the witness; its place was asked for in the second of two branches."""
    chat = Chat(Engine(make_assistant(BRANCHES, BRANCHES_DOMAIN), patterns="3.14"))
    chat.say("an accident in Rome", StartFlow("report"), SetSlot("kind", "accident"), SetSlot("place", "Rome"))
    assert chat.say("a bump", SetSlot("detail", "bump")) == ["Witness?"]
    return chat


def test_a_correction_goes_back_to_the_branch_that_was_taken(report):
    assert report.say("in Bonn", SetSlot("place", "Bonn")) == ["Noted: place is now Bonn.", "Help.", "Witness?"]


def test_a_branch_left_behind_by_a_correction_is_not_gone_back_to(report):
    report.say("it was a theft", SetSlot("kind", "theft"))
    assert report.say("in Bonn", SetSlot("place", "Bonn")) == ["Noted: place is now Bonn.", "Police.", "Witness?"]


def test_a_flow_called_twice_is_gone_back_to_where_it_asked(report):
    assert report.say("Bob", SetSlot("witness", "Bob")) == ["Remark?"]
    assert report.say("a crash", SetSlot("detail", "crash")) == ["Noted: detail is now crash.", "Remark?"]
    assert report.say("Eve", SetSlot("witness", "Eve")) == ["Noted: witness is now Eve.", "Remark?"]
    assert report.say("none", SetSlot("remark", "none")) == ["accident Rome?"]
    assert report.say("theft", SetSlot("kind", "theft")) == ["Noted: kind is now theft.", "Police.", "Remark?"]


def test_what_is_asked_anew_is_not_confirmed_as_changed(report):
    report.say("Bob", SetSlot("witness", "Bob"))
    report.say("none", SetSlot("remark", "none"))
    assert report.say("some", SetSlot("remark", "some")) == ["Remark?"]
    assert report.of(SlotSet)[-1] == SlotSet("remark", None, reset=True)


def test_versions_differ_in_what_a_clarification_offers(make_assistant):
    flows = FLOWS.replace("    if: slots.member\n", "")
    options = Clarify(("send_parcel", "opening_hours", "secret", "tidy"))
    newest, older = (Chat(Engine(make_assistant(flows, DOMAIN), Price(), version)) for version in ("newest", "3.14"))
    assert newest.say("?", options) == ["Which do you mean: send parcel, opening hours or secret?"]
    assert older.say("?", options) == ["Which do you mean: send parcel, opening hours, secret or tidy?"]
    assert newest.say("?", Clarify()) == ["I am not sure what you need. Could you tell me more?"]
    assert older.say("?", Clarify()) == ["I did not get that. Could you say it in other words?"]


def test_flows_nobody_may_start_are_no_options(make_assistant):
    chat = Chat(Engine(make_assistant(FLOWS, DOMAIN), Price(), "3.13"))
    chat.say("pay or send or hours", Clarify(("pay", "secret", "pattern_search", "send_parcel", "opening_hours")))
    assert chat.of(FlowsOffered) == [FlowsOffered(("send_parcel", "opening_hours"))]
    assert chat.say("pay or send", Clarify(("pay", "send_parcel"))) == ["Which street?"]


def test_a_new_session_begins_without_the_flows_of_the_last(make_assistant):
    greeting = """
  pattern_session_start:
    description: greets and asks for the day
    nlu_trigger: [{intent: session_start}]
    steps:
      - action: action_session_start
      - action: utter_note
      - link: opening_hours
"""
    chat = Chat(Engine(make_assistant(FLOWS + greeting, DOMAIN), Price(), "3.13"))
    assert chat.say("/session_start") == ["None None", "Which day?"]
    assert chat.say("Friday", SetSlot("day", "Friday")) == ["Hours on Friday.", "What else can I do for you?"]
    assert chat.tracker.stack == ()


@pytest.mark.parametrize("version", ["3.13", "3.14"])
def test_what_waits_is_come_back_to_once_after_a_flow_was_exchanged_for_another(make_assistant, version):
    chat = Chat(Engine(make_assistant(FLOWS, DOMAIN), Price(), version))
    chat.say("tidy", StartFlow("send_parcel"))
    chat.say("hours", StartFlow("opening_hours"))
    said = chat.say("no, tidy up instead", CancelFlow(), StartFlow("tidy"))
    back = ["Back to send parcel.", "Which street?"] if version == "3.13" else ["Shall we go back to send parcel?"]
    assert said == ["All right, I have stopped opening hours.", "kept gone", *back]
    assert sum(frame.flow == "pattern_continue_interrupted" for frame in chat.tracker.stack) == (version == "3.14")
