"""What a model wrote in the asked-for form is read back whole."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from core.dataset.rephrase import parse_reply

wordings = st.from_regex(r"[A-Za-z]([A-Za-z0-9 ,?!'-]{0,30}[A-Za-z?!])?", fullmatch=True)
sets = st.lists(st.tuples(wordings, st.lists(wordings, min_size=1, max_size=4, unique=True)), min_size=1, max_size=5)


@settings(max_examples=60)
@given(sets, st.sampled_from(["", "**", "> "]), st.sampled_from([".", ")"]))
def test_round_trip(written, mark, dot):
    reply = "\n\n".join(
        f"{mark}USER:{mark} {message}\n" + "\n".join(f"{n}{dot} {wording}" for n, wording in enumerate(variants, 1))
        for message, variants in written
    ).replace("USER:> ", "USER: ")
    assert parse_reply(reply, [message for message, _ in written]) == [tuple(variants) for _, variants in written]


@settings(max_examples=60)
@given(st.text(max_size=300), st.lists(wordings, max_size=4))
def test_any_reply_gives_one_set_for_each_message(reply, messages):
    assert len(parse_reply(reply, messages)) == len(messages)
