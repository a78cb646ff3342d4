"""Reading a model's wordings."""

from __future__ import annotations

import pytest

from core.dataset.rephrase import answer_tokens, parse_reply

ELM = "USER: Elm Road 4\n1. it's Elm Road 4\n"
MESSAGES = ["please collect a parcel", "Elm Road 4"]


def test_the_asked_for_form():
    reply = "USER: please collect a parcel\n1. get my parcel\n2. parcel pickup pls\n\n" + ELM
    assert parse_reply(reply, MESSAGES) == [("get my parcel", "parcel pickup pls"), ("it's Elm Road 4",)]


@pytest.mark.parametrize(
    "reply",
    [
        "Sure:\n\n**USER:** Please collect a parcel!\n1) get my parcel\n\n**USER:** Elm Road 4\n1) it's Elm Road 4\n",
        '```\nUSER: please collect a parcel\n 1. "get my parcel"\nUSER: Elm Road 4\n 1. “it\'s Elm Road 4”\n```',
        "- user: please collect a parcel\n  1. *get my parcel*\n- user: Elm Road 4\n  1. it's Elm Road 4",
        "USER: Elm Road 4\n1. it's Elm Road 4\n\nUSER: please collect a parcel\n1. get my parcel",
        "USER: kindly collect it\n1. get my parcel\n\nUSER: the road\n1. it's Elm Road 4",
        "USER: please collect a parcel\n1. USER: get my parcel\n2. get my parcel\n\n" + ELM,
    ],
    ids=["chatty", "fenced", "bulleted", "other order", "other headers", "prefixed and repeated"],
)
def test_forms_that_models_take_instead(reply):
    assert parse_reply(reply, MESSAGES) == [("get my parcel",), ("it's Elm Road 4",)]


def test_the_same_message_twice_takes_one_set_each():
    reply = "USER: yes\n1. yep\n\nUSER: yes\n1. sure"
    assert parse_reply(reply, ["yes", "yes"]) == [("yep",), ("sure",)]


def test_sets_that_cannot_be_told_apart_are_not_guessed():
    reply = "USER: something\n1. a\n\nUSER: Elm Road 4\n1. b\n\nUSER: another\n1. c"
    assert parse_reply(reply, MESSAGES) == [(), ("b",)]


@pytest.mark.parametrize("reply", ["", "I cannot help with that.", "1. a line without a header"])
def test_a_reply_without_sets_gives_nothing(reply):
    assert parse_reply(reply, MESSAGES) == [(), ()]


def test_the_answer_may_be_as_long_as_the_wordings_need():
    assert answer_tokens(["x" * 60], 10) > 10 * 60 / 4
