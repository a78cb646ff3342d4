"""What passing tests teach."""

from __future__ import annotations

from dataclasses import replace

import pytest
from rigs.parcels import DOMAIN, FLOWS
from rigs.played import play

from core.dataset.annotate import annotate, taught
from core.dataset.conversation import replay
from core.dialogue.commands import CancelFlow, CannotHandle, ChitChat, Clarify, SetSlot, StartFlow
from core.dialogue.engine import Engine
from core.dialogue.prompt import PromptRenderer


@pytest.fixture
def engine(make_assistant) -> Engine:
    return Engine(make_assistant(FLOWS, DOMAIN))


@pytest.fixture
def renderer(engine) -> PromptRenderer:
    return PromptRenderer(engine.assistant, "v2", index=engine.index)


SCRIPT = [
    ("send 2 kg", (StartFlow("send_parcel"), SetSlot("weight", "2"))),
    ("to Elm Road 4", (SetSlot("street", "Elm Road 4"),)),
    ("/SetSlots(sure=true)", ()),
]


def test_each_turn_that_a_model_answers_is_annotated(engine, renderer):
    conversation = annotate(play(engine, SCRIPT), engine, renderer, "v2")
    assert [turn.lines for turn in conversation.turns] == [
        ("start flow send_parcel", "set slot weight 2"),
        ("set slot street Elm Road 4",),
        (),
    ]
    assert conversation.turns[2].skipped == "a button or intent payload, which no model is asked about"
    assert conversation.turns[2].prompt == ""


def test_the_bots_part_is_kept_as_responses(engine, renderer):
    conversation = annotate(play(engine, SCRIPT), engine, renderer, "v2")
    assert conversation.turns[0].bot == (("utter", "utter_ask_street"),)
    assert conversation.turns[2].bot[0] == ("utter", "utter_booked")


def test_the_prompt_is_the_one_a_model_would_be_shown(engine, renderer):
    """Rendered while playing and afterwards from the record: the same."""
    shown = []
    tracker = engine.new_tracker()
    engine.start(tracker)
    result = play(engine, SCRIPT[:2])
    for record in result.turns:
        shown.append(renderer.render(tracker, record.turn.user))
        tracker.apply_all(record.events)
    conversation = annotate(result, engine, renderer, "v2")
    assert [turn.prompt for turn in conversation.turns] == shown
    assert "to Elm Road 4" in shown[1]
    assert "Elm Road 4" not in shown[0]


def test_fixture_slots_are_in_the_state(engine, renderer):
    result = play(engine, SCRIPT[:1], fixture_slots={"street": "Oak 1"})
    (turn,) = annotate(result, engine, renderer, "v2").turns
    (tracker,) = [tracker.fork() for tracker in replay(engine.new_tracker(), result)]
    assert tracker.slots["street"] == "Oak 1"
    assert turn.prompt == renderer.render(tracker, "send 2 kg")


def test_a_failed_test_never_teaches(engine, renderer):
    with pytest.raises(ValueError, match="a test did not pass"):
        annotate(replace(play(engine, SCRIPT), passed=False), engine, renderer, "v2")


def test_a_turn_understood_as_nothing_is_skipped(engine, renderer):
    conversation = annotate(play(engine, [("hm", ()), ("asdf", (CannotHandle(),))]), engine, renderer, "v2")
    assert [turn.annotated for turn in conversation.turns] == [False, False]


@pytest.mark.parametrize(
    ("raw", "cleaned", "learnt"),
    [
        ((SetSlot("weight", "2"),), (SetSlot("weight", 2.0),), (SetSlot("weight", "2"),)),
        ((StartFlow("a"), SetSlot("s", "x")), (SetSlot("s", "x"),), (SetSlot("s", "x"),)),
        ((SetSlot("s", "x"), SetSlot("s", "y")), (SetSlot("s", "y"),), (SetSlot("s", "y"),)),
        ((Clarify(("a",)),), (StartFlow("a"),), (StartFlow("a"),)),
        ((CancelFlow(), ChitChat()), (CancelFlow(), ChitChat()), (CancelFlow(), ChitChat())),
        ((SetSlot("s", "x"),), (), (SetSlot("s", "x"),)),
        ((), (), ()),
    ],
    ids=["own spelling", "dropped", "last value", "turned into another", "all", "a repetition", "nothing"],
)
def test_what_survived_is_learnt_in_the_words_of_the_source(raw, cleaned, learnt):
    assert taught(raw, cleaned) == learnt


def test_replaying_with_other_words_changes_only_the_words(engine):
    result = play(engine, SCRIPT)
    *_, original = replay(engine.new_tracker(), result)
    *_, reworded = replay(
        engine.new_tracker(), result, ["post it, 2 kg", "it goes to Elm Road 4", "/SetSlots(sure=true)"]
    )
    assert reworded.slots == original.slots
    assert reworded.stack == original.stack
    assert [who for who, _ in reworded.transcript()] == [who for who, _ in original.transcript()]
    assert ("USER", "post it, 2 kg") in reworded.transcript()
