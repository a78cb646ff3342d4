"""Texts of others in the app, and the command that repeats what was typed."""

from __future__ import annotations

import re
import shlex
from contextlib import suppress

from hypothesis import example, given
from hypothesis import strategies as st

from core.errors import UsageError
from core.wizard.answers import questions
from core.wizard.answers_set import set_answers
from core.wizard.consequences import Consequence
from tui.drafts import changes, command
from tui.mishap import Mishap
from tui.safe_text import MOST_CHARACTERS, one_line, safe
from tui.screens.dialogs import spent
from tui.widgets.error_card import told
from tui.widgets.stepper import StepLine, trail
from tui.widgets.stepper import _prompt as prompt

NASTY = ["[/x]", "[red]", "\x1b[2J", "\x1b]52;c;AAAA\x07", "\u202e", "\r\n", "\t", "😀", "ש", "\x9b", "\ud800", "x" * 10_000]
texts = st.one_of(st.text(max_size=80), st.lists(st.sampled_from(NASTY), max_size=4).map("".join))
_MOVES = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


@given(texts)
@example("".join(NASTY))
def test_no_text_moves_the_cursor_or_goes_on_for_ever(text):
    assert not _MOVES.search(safe(text))
    assert len(safe(text)) <= MOST_CHARACTERS + 50
    line = one_line(text)
    assert "\n" not in line
    assert len(line) <= 400
    line.encode("utf-8")


@given(texts, texts, texts)
def test_cards_steps_and_dialogs_show_texts_as_they_are(one, other, third):
    card = told(Mishap(one, other, third, one, other))
    lines = [StepLine("coverage", one, "stale", other), StepLine("dataset", other, "failed", third)]
    for content in (card, *(prompt(number, line) for number, line in enumerate(lines, 1)), trail(lines, "coverage")):
        assert not _MOVES.search(content.plain.replace("\n", ""))
    if "[red]" in other and len(other) < MOST_CHARACTERS:
        assert "[red]" in card.plain, "text, not markup"
    assert spent(Consequence("coverage", one, 3.0, 0.5)) == "took 3 s and $0.50"


@given(st.data())
def test_the_command_takes_over_what_was_typed(data):
    step = data.draw(st.sampled_from(["coverage", "training", "deployment"]))
    question = data.draw(st.sampled_from([one for one in questions(step) if one.kind in ("text", "integer", "flag", "choice")]))
    kinds = {"integer": st.integers(1, 64), "flag": st.booleans(), "choice": st.sampled_from(question.choices or ("x",)), "text": texts}
    value = data.draw(kinds[question.kind])
    settings = changes(step, {}, {question.field: value})
    parts = shlex.split(command("one", step, settings))
    given_back = [parts[at + 1] for at, part in enumerate(parts) if part == "--set"]
    assert given_back == settings
    for setting in settings:
        assert "\n" not in setting
        answers: dict = {}
        with suppress(UsageError):  # an answer that the step refuses, as the form would
            set_answers([setting], answers)
            assert answers[step][question.field] == value
