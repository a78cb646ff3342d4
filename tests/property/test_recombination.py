"""Promises of recombination."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from core.dataset.conversation import AnnotatedConversation, AnnotatedTurn
from core.dataset.points import recombine
from core.e2e.cases import TestCase, Turn
from core.e2e.results import TestResult, TurnRecord

wordings = st.lists(st.text("abc", min_size=1, max_size=4), max_size=5, unique=True).map(tuple)
conversations = st.lists(wordings, min_size=1, max_size=5).map(
    lambda passing: AnnotatedConversation(
        TestResult(TestCase("t", "f.yml", 1, ()), True),
        tuple(
            AnnotatedTurn(TurnRecord(Turn(f"original {at}", at), None, (), ()), passing=texts)
            for at, texts in enumerate(passing)
        ),
    )
)


@settings(max_examples=60)
@given(conversations)
def test_one_conversation_more_than_the_most_wordings_and_every_wording_used(conversation):
    made = recombine(conversation)
    assert len(made) == 1 + max(len(turn.passing) for turn in conversation.turns)
    for at, turn in enumerate(conversation.turns):
        assert {messages[at] for messages in made} == {turn.user, *turn.passing}


@settings(max_examples=60)
@given(conversations)
def test_wordings_are_used_evenly_and_the_original_comes_first(conversation):
    made = recombine(conversation)
    assert made[0] == tuple(turn.user for turn in conversation.turns)
    for at, turn in enumerate(conversation.turns):
        used = [messages[at] for messages in made[1:]]
        counts = [used.count(text) for text in turn.passing]
        assert not counts or max(counts) - min(counts) <= 1
        assert turn.passing or set(used) <= {turn.user}
