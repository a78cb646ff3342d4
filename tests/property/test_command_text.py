"""Every command survives being written and read, in every form."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.dialogue.command_text import parse, render, render_all
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

names = st.from_regex(r"[a-zA-Z_][a-zA-Z0-9_-]{0,12}", fullmatch=True)
values = st.text(max_size=30).filter(lambda text: text.strip().casefold() not in UNKNOWN)
UNKNOWN = {
    "none",
    "null",
    "undefined",
    "n/a",
    "unknown",
    "[missing information]",
    "missing information",
    "[missing]",
    "not provided",
    "?",
    "",
}
commands = st.one_of(
    st.builds(StartFlow, names),
    st.builds(SetSlot, names, values),
    st.builds(Clarify, st.lists(names, max_size=4).map(tuple)),
    st.sampled_from(
        [CancelFlow(), CannotHandle(), ChitChat(), HumanHandoff(), RepeatMessage(), SearchAndReply(), SkipQuestion()]
    ),
)


@given(st.lists(commands, max_size=5), st.sampled_from(["v1", "v2", "v3"]))
@settings(max_examples=300)
def test_text_gives_back_the_commands(given_commands, dialect):
    assert parse(render_all(given_commands, dialect), dialect).commands == tuple(given_commands)


@given(st.text(max_size=200), st.sampled_from(["v1", "v2", "v3"]))
@settings(max_examples=100)
def test_any_text_is_read_without_an_error(text, dialect):
    for command in parse(text, dialect).commands:
        render(command, dialect)


@pytest.mark.parametrize(
    ("text", "dialect", "expected"),
    [
        ("- start flow book\n- set slot day 'Friday'", "v2", (StartFlow("book"), SetSlot("day", "Friday"))),
        ("1. `start flow book`", "v2", (StartFlow("book"),)),
        ("```\nSET SLOT amount 50\n```", "v3", (SetSlot("amount", "50"),)),
        ("StartFlow(a), SetSlot(b, x (y) z)", "v1", (StartFlow("a"), SetSlot("b", "x (y) z"))),
        ("StartFlow(a)", "v2", (StartFlow("a"),)),
        ("start flow a", "v1", (StartFlow("a"),)),
        ("disambiguate flows a, b", "v2", (Clarify(("a", "b")),)),
        ("search and reply", "v2", (SearchAndReply(),)),
        ("set slot day None\nset slot amount [missing information]", "v2", ()),
        ("I would start flow book", "v2", ()),
    ],
)
def test_what_models_write(text, dialect, expected):
    assert parse(text, dialect).commands == expected


def test_unknown_flows_are_dropped():
    read = parse("start flow nope\ndisambiguate flows a nope", "v2", {"a", "b"})
    assert read.commands == (Clarify(("a",)),)
    assert read.dropped == ("start flow nope",)
