"""Reading a model's wordings."""

from __future__ import annotations

import pytest

from core.dataset.choices import Manner
from core.dataset.rephrase import answer_tokens, parse_reply, render_prompt
from core.errors import UsageError

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


def test_placeholders_that_a_small_model_copies_are_no_wordings():
    assert parse_reply("USER: Elm Road 4\n1. <wording>\n2. it's Elm Road 4", ["Elm Road 4"]) == [("it's Elm Road 4",)]


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


def prompt(template=None, **manner) -> str:
    return render_prompt(
        template,
        manner=Manner(**manner),
        test_case_name="a parcel",
        transcript="USER: please collect a parcel",
        number_of_rephrasings=3,
        user_prefix="USER",
        number_of_user_messages=1,
        user_messages=["please collect a parcel"],
    )


@pytest.mark.parametrize(
    ("manner", "asked"),
    [
        ({}, "is in the language of the message and fits on one line"),
        (
            {"languages": ("German", "French")},
            "is in one of these languages, in turn: German, French; it fits on one line",
        ),
        ({"register": "formal"}, "all of them formal"),
        ({"register": "casual"}, "all of them casual"),
        ({"length": "short"}, "shorter than the message"),
        ({"length": "long"}, "longer than the message"),
        ({"typos": "none"}, "spelled and punctuated as in print"),
        ({"typos": "many"}, "slips of hasty typing"),
    ],
)
def test_the_owner_steers_how_people_talk(manner, asked):
    assert asked in " ".join(prompt(**manner).split())
    if manner:
        assert asked not in " ".join(prompt().split())


def test_an_own_prompt_takes_the_place_of_ours(tmp_path):
    own = tmp_path / "own.jinja2"
    own.write_text("{{ number_of_rephrasings }} times: {{ user_messages[0] }}")
    assert prompt(own) == "3 times: please collect a parcel"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a\n{% for %}", r"own\.jinja2:2: .*a prompt may use manner, test_case_name"),
        ("{{ nobody }}", r"own\.jinja2: 'nobody' is undefined"),
        ("{{ user_messages.__class__.__mro__ }}", r"own\.jinja2:1: __mro__ may not be reached"),
    ],
)
def test_mistakes_of_an_own_prompt_are_explained(tmp_path, text, message):
    own = tmp_path / "own.jinja2"
    own.write_text(text)
    with pytest.raises(UsageError, match=message):
        prompt(own)
    with pytest.raises(UsageError, match="cannot be read"):
        prompt(tmp_path / "none.jinja2")
