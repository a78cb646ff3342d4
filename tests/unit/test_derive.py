"""Conversations made out of tests, and what the owner decided about wordings."""

from __future__ import annotations

from dataclasses import replace

import pytest
from rigs.parcels import DOMAIN, FLOWS
from rigs.played import play

from core.dataset.annotate import annotate
from core.dataset.conversation import AnnotatedConversation, Rejected
from core.dataset.decisions import BY_HAND, Decision, decided, read_decisions, write_decisions
from core.dataset.derive import OTHER_VALUES, derive
from core.dataset.hard_cases import hard_cases
from core.dataset.points import data_points
from core.dataset.prepare import divide
from core.dataset.variation import in_other_words, with_other_values
from core.dialogue.commands import CancelFlow, ChitChat, Clarify, SearchAndReply, SetSlot, StartFlow
from core.dialogue.engine import Engine
from core.dialogue.prompt import PromptRenderer
from core.errors import ProblemsError

BOOKED = [("Elm Road 4", "2"), ("Oak Lane 1", "5"), ("Ash Way 22", "7")]


@pytest.fixture
def engine(make_assistant) -> Engine:
    flows = FLOWS.replace("description: complain about a parcel", "name: parcel complaint\n    description: complain")
    return Engine(
        make_assistant(flows.replace("description: send a parcel", "name: parcel\n    description: send"), DOMAIN)
    )


@pytest.fixture
def renderer(engine) -> PromptRenderer:
    return PromptRenderer(engine.assistant, "v2", index=engine.index)


@pytest.fixture
def conversations(engine, renderer) -> list[AnnotatedConversation]:
    """Three tests that send parcels."""
    return [
        annotate(
            play(
                engine,
                [
                    (f"a parcel to {street}", (StartFlow("send_parcel"), SetSlot("street", street))),
                    (f"{weight} kg", (SetSlot("weight", weight),)),
                    ("/SetSlots(sure=true)", ()),
                ],
                name=f"to {street}",
            ),
            engine,
            renderer,
            "v2",
        )
        for street, weight in BOOKED
    ]


async def test_other_values_come_from_other_tests_and_go_with_their_commands(conversations, engine, renderer):
    wanted = with_other_values(conversations, engine.index.slots, 1, seed=1)
    made = await derive(wanted, engine, None, renderer, "v2")
    assert len(made) == 3
    for conversation, (street, weight) in zip(made, BOOKED, strict=True):
        first, second, third = conversation.turns
        new_street, new_weight = first.commands[1].value, second.commands[0].value
        assert conversation.case.id == f"e2e_tests/all.yml::to {street}"
        assert new_street in dict(BOOKED)
        assert new_street != street
        assert new_weight in dict(BOOKED).values()
        assert new_weight != weight
        assert (first.user, second.user) == (f"a parcel to {new_street}", f"{new_weight} kg")
        assert first.lines == ("start flow send_parcel", f"set slot street {new_street}")
        assert not third.annotated
    assert wanted == with_other_values(conversations, engine.index.slots, 1, seed=1)


async def test_wordings_take_the_other_values_over(conversations, engine, renderer):
    original = conversations[0]
    turns = (replace(original.turns[0], passing=("to Elm Road 4 please", "Elm Road 4, a parcel")), *original.turns[1:])
    original = replace(original, turns=(turns[0], replace(turns[1], passing=("two kilos", "2 kilos")), turns[2]))
    made = await derive(
        with_other_values([original, *conversations[1:]], engine.index.slots, 1, 1), engine, None, renderer, "v2"
    )
    varied = in_other_words(made[0], original)
    street, weight = made[0].turns[0].commands[1].value, made[0].turns[1].commands[0].value
    assert varied.turns[0].passing == (f"to {street} please", f"{street}, a parcel")
    assert varied.turns[1].passing == (f"{weight} kilos",)  # "two kilos" holds the old value


async def test_rows_of_derived_conversations_stay_with_their_test_and_repeat_none(conversations, engine, renderer):
    wanted = with_other_values(conversations, engine.index.slots, 2, seed=1)
    wanted += hard_cases(conversations, engine.assistant.business_flows, engine.index.slots, 3, seed=1)
    made = await derive(wanted, engine, None, renderer, "v2")
    divided = divide([*conversations, *made], engine, renderer, 0.7, seed=1)
    rows = (*divided.train, *divided.validation, *divided.left_out)
    assert len(rows) > sum(len(data_points(conversation, engine, renderer)) for conversation in conversations)
    assert not {row.test for row in divided.train} & {row.test for row in divided.validation}
    assert len({(row.test, row.prompt, row.completion) for row in rows}) == len(rows)


async def test_hard_cases_are_played_and_teach_their_last_message_only(conversations, engine, renderer):
    wanted = hard_cases(conversations, engine.assistant.business_flows, engine.index.slots, 2, seed=3)
    made = await derive(wanted, engine, None, renderer, "v2")
    by_kind: dict[str, list[AnnotatedConversation]] = {}
    for conversation in made:
        by_kind.setdefault(conversation.derived, []).append(conversation)
        assert [turn.annotated for turn in conversation.turns] == [False] * (len(conversation.turns) - 1) + [True]
    assert {kind: type(found[0].turns[-1].commands[0]) for kind, found in by_kind.items()} == {
        "cancelled": CancelFlow,
        "corrected": SetSlot,
        "off topic": ChitChat,
        "unclear": Clarify,
    }
    assert by_kind["unclear"][0].turns[-1].commands == (Clarify(("send_parcel", "complain")),)
    assert "parcel" in by_kind["unclear"][0].turns[-1].user
    corrected = by_kind["corrected"][0]
    assert corrected.turns[-1].commands[0].value in corrected.turns[-1].user
    assert hard_cases(conversations, engine.assistant.business_flows, engine.index.slots, 0, seed=3) == []


async def test_small_talk_is_a_search_where_the_form_of_commands_has_none(conversations, engine):
    wanted = hard_cases(conversations, engine.assistant.business_flows, engine.index.slots, 2, seed=3, dialect="v3")
    assert {made.commands[-1] for made in wanted if made.kind == "off topic"} == {(SearchAndReply(),)}


async def test_what_does_not_work_is_not_taught(conversations, engine, renderer):
    wanted = with_other_values(conversations, engine.index.slots, 1, seed=1)
    broken = replace(wanted[0], commands=((StartFlow("no_such_flow"),), *wanted[0].commands[1:]), kind="cancelled")
    assert await derive([broken], engine, None, renderer, "v2") == []
    assert {conversation.derived for conversation in await derive(wanted, engine, None, renderer, "v2")} == {
        OTHER_VALUES
    }


def test_decisions_move_wordings(conversations):
    turn = replace(
        conversations[0].turns[0], passing=("good", "so so"), rejected=(Rejected("fine", "is understood as x"),)
    )
    given = [replace(conversations[0], turns=(turn, *conversations[0].turns[1:])), *conversations[1:]]
    test = conversations[0].case.id
    decisions = [
        Decision(test, 1, "good", "reject"),
        Decision(test, 1, "fine", "accept"),
        Decision(test, 1, "so so", "edit", "much better"),
        Decision(test, 2, "2 kg", "reject"),
        Decision(test, 1, "unheard of", "reject"),
        Decision("another.yml::test", 1, "good", "accept"),
    ]
    done, left = decided(given, decisions)
    assert done[0].turns[0].passing == ("much better", "fine")
    assert done[0].turns[0].rejected == (Rejected("good", BY_HAND),)
    assert done[0].turns[0].rejected[0].kind == BY_HAND
    assert done[0].turns[1].skipped == BY_HAND
    assert done[1:] == given[1:]
    assert left == decisions[-2:]


def test_the_latest_decision_about_a_wording_counts(tmp_path):
    path = tmp_path / "decisions.yml"
    write_decisions(path, [Decision("a::b", 1, "yes", "reject"), Decision("a::b", 1, "yes", "edit", "no")])
    (read,) = read_decisions(path)
    assert replace(read, line=0) == Decision("a::b", 1, "yes", "edit", "no")


def test_mistakes_in_decisions_are_all_reported(tmp_path):
    path = tmp_path / "decisions.yml"
    path.write_text(
        "decisions:\n"
        "- {test: a, turn: 0, wording: x, verdict: reject}\n"
        "- {test: a, turn: 1, wording: x, verdict: maybe}\n"
        "- {test: a, turn: 1, wording: x, verdict: edit}\n"
        "- {test: a, turn: 1, wording: 3, verdict: accept}\n"
        "- hello\n"
    )
    with pytest.raises(ProblemsError) as found:
        read_decisions(path)
    said = str(found.value).split("\n")
    assert [line.partition(": ")[0] for line in said] == [f"decisions.yml:{number}" for number in range(2, 7)]
    path.write_text("rows: []\n")
    with pytest.raises(ProblemsError, match="no list `decisions:` was found"):
        read_decisions(path)
