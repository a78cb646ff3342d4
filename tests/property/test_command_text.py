"""Every command survives being written and read, in every form."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.assistant.domain import Slot
from core.assistant.lines import Lines
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
from core.dialogue.values import coerce

names = st.from_regex(r"[a-zA-Z0-9_]([a-zA-Z0-9_.-]{0,11}[a-zA-Z0-9_-])?", fullmatch=True) | st.sampled_from(
    [
        "start",
        "flow",
        "set",
        "slot",
        "cancel",
        "a.b-c_d",
        "9-to-5",
        "x-",
        "a..b",
        "größe",
        "None",
        "StartFlow",
        "SetSlot",
    ]
)
odd = st.sampled_from(
    [
        "",
        " ",
        "None",
        "null",
        "?",
        "(",
        ")",
        "a) b",
        "f(x)",
        "x, y",
        ", ",
        '"',
        "'",
        "`",
        '"a"',
        "'a",
        '"a',
        "a\\",
        '\\"',
        "a\nb",
        "\u2028",
        "\x85",
        "\x00",
        "\ufeff",
        "- a",
        "1. a",
        "```",
        "StartFlow(a)",
        "start flow a",
        "set slot a b",
        "{}",
        "[1]",
        "true",
        "é",
    ]
)
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


@given(names, odd | st.text(max_size=30), st.sampled_from(["v1", "v2", "v3"]))
@settings(max_examples=300)
def test_text_gives_back_any_value_of_a_recording(name, value, dialect):
    command = SetSlot(name, value)
    assert parse(render(command, dialect), dialect, drop_unknown_values=False).commands == (command,)


@given(
    names,
    st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False),  # what a float slot can hold
    st.sampled_from(["v1", "v2", "v3"]),
)
@settings(max_examples=200)
def test_numbers_and_booleans_come_back_through_the_type_of_their_slot(name, value, dialect):
    (command,) = parse(render(SetSlot(name, value), dialect), dialect).commands
    kind = "bool" if isinstance(value, bool) else "float"
    slot = Slot(name, kind, Lines("domain.yml", 1, 1))
    assert coerce(slot, command.value) == value


@given(names, st.sampled_from(["v1", "v2", "v3"]))
def test_every_form_is_read_in_the_others(name, dialect):
    commands = (StartFlow(name), SetSlot(name, "some value"), Clarify((name, "other")), CancelFlow())
    for other in ("v1", "v2", "v3"):
        assert parse(render_all(commands, dialect), other).commands == commands


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
        ("Start flow book.\nDisambiguate flows a, b.", "v2", (StartFlow("book"), Clarify(("a", "b")))),
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
