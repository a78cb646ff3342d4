"""Names, messages, commands and YAML of others: drawn in the panels, they neither break nor inject anything."""

from __future__ import annotations

import re

from hypothesis import given, settings
from hypothesis import strategies as st
from textual.content import Content

from core.dataset.rows import Row
from core.e2e.side_by_side import Line, Sides, SidesOfTurn, sides_from
from core.wizard.row_review import Mark
from core.wizard.step import Gate
from tui.results.coverage import _counts, _flow_line, _test_lines, report
from tui.results.failures import Failure, failure_head, failure_lines, failure_sides
from tui.results.panel import facts
from tui.results.quality import quality
from tui.results.spread import spread
from tui.results.thin import thin
from tui.safe_text import MOST_CHARACTERS, one_line, safe
from tui.screens.row_texts import row_detail, row_line, row_prompt
from tui.widgets.scoreboard import scores
from tui.widgets.side_by_side import difference
from tui.widgets.source import source

DANGEROUS = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""What moves a cursor, begins an escape sequence, turns the line round or cannot be written to a terminal."""
NASTY = st.one_of(
    st.sampled_from(
        ["[/x]", "[red]", "[@click=app.quit]x[/]", "\x1b[2J\x1b]0;t\x07", "👩‍👩‍👧 🏚️",
         "שלום \u202eevil", "a\r\nb\tc", "\x9b31m", "x" * 10_000, "", "\ud800"]
    ),
    st.text(max_size=40),
    st.text(alphabet="[]/\\$@=\x1b\u202e\x00ab", max_size=20),
)


def drawn(nasty: str) -> list[Content]:
    """Everything the panels make of a text."""
    row = Row("1", f"{nasty}::{nasty}", 1, nasty, nasty, (nasty,), reason=nasty, conversation=(f"USER: {nasty}",), side="train")
    mark = Mark("edit", True, nasty)
    flow = {"flow": nasty, "coverage": 0.5, "steps": 2, "missing": 1, "lines": [[1, 1]], "span": [1, 2], "file": nasty}
    entries = [{"test": f"{nasty}::{nasty}", "reason": nasty}]
    summary = {"passed": entries, "failed": entries, "undecided": [], "commands_from": nasty or "x", "flows": [flow]}
    counts = {nasty: 3}
    split = {
        "thin": {f"flow {nasty}": 1}, "flows": {"train": counts, "validation": counts}, "train_points": 1, "val_points": 1,
        "train_tests": 1, "val_tests": 1,
        "leakage": {"nearest": 0.1, "median": 0.2, "pairs": [{"held_out": nasty, "train": nasty, "distance": 0.1}]},
    }  # fmt: skip
    failure = Failure("validation", f"{nasty}::{nasty}", 1, nasty, nasty, nasty, nasty, nasty, (f"AI: {nasty}",), False, 3, nasty)
    line = Line(nasty, nasty, "differs")
    sides = Sides((SidesOfTurn(nasty, 1, (nasty,), (line, Line("", nasty, "more"), Line(nasty, "", "untried"))),), nasty)
    assert sides_from(sides.facts) == sides
    return [
        _counts(summary), _flow_line(flow), *(option.prompt for option in _test_lines(summary)), report(nasty),
        *(difference(each, width)[0] for each in (sides, failure_sides(failure, None)) for width in (30, 76, 116)),
        failure_head(failure), *(option.prompt for option in failure_lines([failure])),
        spread(counts, counts, {nasty}), thin(split), facts({"fact": nasty, "list": [nasty], "mapping": {nasty: nasty}}),
        quality({"split": split, "rephrasing": {"rejected_share": {}, "candidates": 0}}),
        scores([Gate(nasty, nasty, nasty, False, detail=nasty)]), source(nasty, "yaml", 1, 3, {1}, dedent=True), row_prompt(nasty),
        row_line(row, None), row_detail(row, None), row_detail(row, mark), row_line(row, mark),
    ]  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(NASTY)
def test_nothing_of_a_text_reaches_the_terminal_but_letters(nasty):
    for content in drawn(nasty):
        assert not DANGEROUS.search(content.plain), content.plain
        assert len(content.plain) < 40 * MOST_CHARACTERS


@settings(max_examples=60, deadline=None)
@given(NASTY, st.integers(20, 140))
def test_a_difference_stays_in_its_columns(nasty, width):
    lines = (Line(nasty, nasty, "differs"), Line(nasty, "", "same"), Line("", nasty, "more"))
    content, first = difference(Sides((SidesOfTurn(nasty, 1, (nasty,), lines),), nasty), width)
    rows = content.split("\n", allow_blank=True)
    assert all(row.cell_length <= width for row in rows)
    assert not one_line(nasty, MOST_CHARACTERS) or rows[first].plain.startswith("▶")


@given(st.text())
def test_a_made_text_stays_as_it_is(text):
    assert safe(safe(text)) == safe(text)


@given(st.text(alphabet=st.characters(categories=["L", "N", "P", "Zs"]), max_size=MOST_CHARACTERS))
def test_letters_are_left_alone(text):
    assert safe(text) == text
