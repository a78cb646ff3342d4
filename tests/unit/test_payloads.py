"""Messages that buttons send."""

from __future__ import annotations

import time
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.dialogue.commands import Restart, SessionStart, SetSlot, TriggerIntent
from core.dialogue.payloads import MOST_SLOTS, parse
from core.errors import UsageError


@pytest.mark.parametrize(
    ("text", "commands"),
    [
        ("/SetSlots(a=1, b=two words)", (SetSlot("a", "1"), SetSlot("b", "two words"))),
        ("/SetSlots(a=True)", (SetSlot("a", "True"),)),
        ("""/SetSlots(a="x, y", b='z')""", (SetSlot("a", "x, y"), SetSlot("b", "z"))),
        (r'/SetSlots(a="say \"hi\" \\ now",)', (SetSlot("a", r'say "hi" \ now'),)),
        ("/SetSlots(a=it's, b='s)", (SetSlot("a", "it's"), SetSlot("b", "'s"))),
        ("/SetSlots(a=f(x), b=c=d)", (SetSlot("a", "f(x)"), SetSlot("b", "c=d"))),
        ("/SetSlots(a=, b=None, c=null, d=undefined)", tuple(SetSlot(name, None) for name in "abcd")),
        ("/SetSlots()", ()),
        ("/restart", (Restart(),)),
        ("/session_start", (SessionStart(),)),
        ("/session_start{}", (SessionStart(),)),
        ("/greet", (TriggerIntent("greet"),)),
        ('/greet{"name": "Ada", "times": 2}', (TriggerIntent("greet", (("name", "Ada"), ("times", 2))),)),
        ('/greet{{"name": "Ada"}}', (TriggerIntent("greet", (("name", "Ada"),)),)),
        ("/greet@0.9", (TriggerIntent("greet"),)),
        ("good morning", None),
        ("a/b", None),
        ("/home/me and so on", None),
        ("/", None),
        ("", None),
    ],
)
def test_what_payloads_mean(text, commands):
    assert parse(text) == commands


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("/SetSlots(a=1", r"'/SetSlots\(a=1' cannot be read; write /SetSlots\(slot=value, other=value\)"),
        ("/SetSlots", "cannot be read; write"),
        ("/SetSlots(a=1, b)", "'b' does not begin with slot=value"),
        ("/SetSlots(=1)", "'=1' does not begin with slot=value"),
        (f"/SetSlots({', '.join(f's{n}=1' for n in range(MOST_SLOTS + 1))})", "sets 11 slots; a payload may set 10"),
    ],
)
def test_payloads_that_cannot_be_read(text, said):
    with pytest.raises(UsageError, match=said):
        parse(text)


def quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


VALUES = st.text(max_size=20).filter(lambda text: text.casefold() not in {"", "none", "null", "undefined"})


@given(st.dictionaries(st.from_regex(r"[a-z_][a-z0-9_]{0,8}", fullmatch=True), VALUES, max_size=MOST_SLOTS))
@settings(max_examples=60)
def test_quoted_values_come_back_as_they_were(slots):
    payload = f"/SetSlots({', '.join(f'{name}={quoted(value)}' for name, value in slots.items())})"
    assert parse(payload) == tuple(SetSlot(name, value) for name, value in slots.items())


@pytest.mark.parametrize(
    "text",
    [
        '/SetSlots(a="' + "\\" * 5000 + ")",
        "/SetSlots(" + "a=" * 5000 + ")",
        "/SetSlots(a=" + " " * 5000 + "x)",
        "/a{" * 5000,
    ],
)
def test_no_text_takes_long(text):
    started = time.process_time()
    with suppress(UsageError):
        parse(text)
    assert time.process_time() - started < 1
