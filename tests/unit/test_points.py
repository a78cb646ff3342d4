"""Recombination and rows."""

from __future__ import annotations

from dataclasses import replace

import pytest
from rigs.parcels import DOMAIN, FLOWS
from rigs.played import play

from core.dataset.annotate import annotate
from core.dataset.inventory import inventory, of_kind
from core.dataset.leakage import shared_messages, without_leaks
from core.dataset.points import contradictions, data_points, recombine
from core.dataset.prepare import divide, duplicate_groups
from core.dialogue.commands import CancelFlow, SetSlot, StartFlow
from core.dialogue.engine import Engine
from core.dialogue.prompt import PromptRenderer

SCRIPT = [
    ("send a parcel", (StartFlow("send_parcel"),)),
    ("to Elm 4", (SetSlot("street", "Elm 4"),)),
    ("/SetSlots(weight=2)", ()),
]


@pytest.fixture
def engine(make_assistant) -> Engine:
    return Engine(make_assistant(FLOWS, DOMAIN))


@pytest.fixture
def renderer(engine) -> PromptRenderer:
    return PromptRenderer(engine.assistant, "v2", index=engine.index)


@pytest.fixture
def make(engine, renderer):
    def make(script, *passing, name="a test"):
        conversation = annotate(play(engine, script, name), engine, renderer, "v2")
        turns = [
            replace(turn, passing=passing[at] if at < len(passing) else ())
            for at, turn in enumerate(conversation.turns)
        ]
        return replace(conversation, turns=tuple(turns))

    return make


def test_the_kth_conversation_takes_the_kth_wording_of_each_turn_and_starts_over(make):
    conversation = make(SCRIPT, ("s1", "s2", "s3"), ("Elm 4 a", "Elm 4 b"))
    assert recombine(conversation) == [
        ("send a parcel", "to Elm 4", "/SetSlots(weight=2)"),
        ("s1", "Elm 4 a", "/SetSlots(weight=2)"),
        ("s2", "Elm 4 b", "/SetSlots(weight=2)"),
        ("s3", "Elm 4 a", "/SetSlots(weight=2)"),
    ]


def test_a_turn_without_wordings_keeps_the_original(make):
    assert recombine(make(SCRIPT, (), ("Elm 4 a",)))[1][:2] == ("send a parcel", "Elm 4 a")
    assert len(recombine(make(SCRIPT))) == 1


def test_later_prompts_hold_the_rephrased_history_and_the_true_state(make, engine, renderer):
    points = data_points(make(SCRIPT, ("post it",), ("Elm 4 a",)), engine, renderer)
    assert [(point.turn, point.variant, point.message) for point in points] == [
        (1, 0, "send a parcel"),
        (2, 0, "to Elm 4"),
        (1, 1, "post it"),
        (2, 1, "Elm 4 a"),
    ]
    last = points[-1]
    assert "post it" in last.prompt
    assert "send a parcel\n" not in last.prompt.partition("post it")[0].rpartition("\n\n")[2]
    assert last.completion == "set slot street Elm 4"
    assert (last.test, last.original) == ("e2e_tests/all.yml::a test", "to Elm 4")


def test_rows_repeated_word_for_word_are_left_out(make, engine, renderer):
    points = data_points(make(SCRIPT, (), ("Elm 4 a", "Elm 4 b")), engine, renderer)
    assert [(point.turn, point.message) for point in points] == [
        (1, "send a parcel"),
        (2, "to Elm 4"),
        (2, "Elm 4 a"),
        (2, "Elm 4 b"),
    ]


def test_contradictions_are_found(make, engine, renderer):
    one = data_points(make([("stop", (StartFlow("complain"),))]), engine, renderer)
    other = data_points(make([("stop", (StartFlow("send_parcel"),))], name="another"), engine, renderer)
    assert contradictions([*one, *one]) == []
    assert [(a.test, b.test) for a, b in contradictions([*one, *other])] == [
        ("e2e_tests/all.yml::a test", "e2e_tests/all.yml::another"),
    ]


def test_an_inventory_counts_commands_flows_and_slots(make, engine, renderer):
    script = [*SCRIPT[:2], ("forget it", (CancelFlow(),))]
    held = inventory(data_points(make(script, ("post",)), engine, renderer))
    assert of_kind(held, "command") == {"cancel flow": 2, "set slot": 2, "start flow": 2}
    assert of_kind(held, "flow") == {"send_parcel": 2}
    assert of_kind(held, "slot") == {"street": 2}


def test_tests_in_which_the_user_says_the_same_are_near_duplicates(make):
    one, other = make(SCRIPT), make([("Send a PARCEL.", SCRIPT[0][1]), *SCRIPT[1:]], name="another")
    groups = duplicate_groups([one, other, make([("when are you open", SCRIPT[0][1])], name="a third")])
    first, second, third = groups.of.values()
    assert first == second != third


def test_validation_loses_the_rows_that_train_shows(make, engine, renderer):
    train = data_points(make(SCRIPT), engine, renderer)
    validation = data_points(
        make([SCRIPT[0], ("Oak 1", (SetSlot("street", "Oak 1"),))], name="another"), engine, renderer
    )
    kept, left_out = without_leaks(train, validation)
    assert [point.message for point in kept] == ["Oak 1"]
    assert [point.message for point in left_out] == ["send a parcel"]
    assert shared_messages(train, validation) == 0.5
    assert shared_messages(train, []) == 0.0


def test_dividing_keeps_tests_whole_and_sides_apart(make, engine, renderer):
    conversations = [
        make(
            [(f"parcel {n}", SCRIPT[0][1]), (f"Elm {n}", (SetSlot("street", f"Elm {n}"),))],
            (f"post {n}",),
            name=f"t{n}",
        )
        for n in range(10)
    ]
    divided = divide(conversations, engine, renderer, 0.8, seed=7)
    assert len(divided.train) == 8 * 4
    assert len(divided.validation) == 2 * 4
    assert {point.test for point in divided.train} == set(divided.split.train)
    assert {point.test for point in divided.validation} == set(divided.split.validation)
    assert divided.split.train_fraction == 0.8
