"""A report as Markdown: the blocks of its chapters, with everything that has a meaning there escaped."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from core.evaluation.report_blocks import (
    Badge,
    Block,
    Card,
    Cases,
    Cell,
    Detailed,
    Facts,
    Figure,
    Heading,
    Paragraph,
    Picture,
    Section,
    Table,
)
from core.evaluation.report_content import Case, Report
from core.evaluation.report_words import when

_MEANT = re.compile(r"[\\`*\[\]|~]|(?<!\w)_|_(?!\w)")
_NUMBERED = re.compile(r"^(\d{1,9})([.)])(?=\s|$)")
_MARKS = {"good": "✓ ", "bad": "✗ ", "unsure": "? ", "quiet": ""}


def markdown(report: Report, cards: Sequence[Card], sections: Sequence[Section]) -> str:
    """The whole document."""
    lines = [
        f"# {text(report.assistant)}",
        "",
        text(f"calmtune report, {when(report.date)}, session {report.session}, calmtune {report.version}"),
        "",
        f"**{text(report.verdict.sentence) or 'No verdict'}**",
        "",
    ]
    lines += [f"- {text(card.label)}: **{text(card.value)}**{_under(card)}" for card in cards]
    for section in sections:
        lines += ["", f"## {text(section.title)}"]
        for block in section.blocks:
            lines += ["", *_lines(block)]
    return "\n".join(lines).rstrip() + "\n"


def text(written: str) -> str:
    """A text in one line that Markdown shows as it is."""
    line = " ".join(written.split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    line = _MEANT.sub(r"\\\g<0>", line)
    if re.match(r"[-+=#]", line):
        return f"\\{line}"
    return _NUMBERED.sub(r"\1\\\2", line)


def fenced(written: str) -> list[str]:
    """A text as it is, in a fence that it cannot end."""
    longest = max((len(run) for run in re.findall(r"`+", written)), default=0)
    fence = "`" * max(3, longest + 1)
    return [f"{fence}text", *written.splitlines(), fence]


def _under(card: Card) -> str:
    return f" ({text(card.note)})" if card.note else ""


def _lines(block: Block) -> Iterator[str]:
    if isinstance(block, Heading):
        yield f"### {text(block.text)}"
        return
    if isinstance(block, Paragraph):
        yield f"{'**What to do next:** ' if block.tone == 'next' else ''}{text(block.text)}"
        return
    if block.title:
        yield f"### {text(block.title)}"
        yield ""
    if isinstance(block, Table):
        yield from _table(block)
    elif isinstance(block, Cases):
        for case in block.cases:
            yield from _case(case)
    elif isinstance(block, Facts):
        yield from (f"- {text(name)}: {text(value)}" for name, value in block.pairs)
    elif isinstance(block, Figure):
        if block.letters:
            yield from fenced("\n".join(block.letters))
            yield ""
        yield text(block.caption)
    else:
        yield from fenced(block.text)


def _table(block: Table) -> Iterator[str]:
    yield _row([text(name) for name in block.header])
    yield _row(["--:" if at in block.numeric else "---" for at in range(len(block.header))])
    for row in block.rows:
        yield _row([_cell(value) for value in row])
    if block.note:
        yield ""
        yield text(block.note)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(value: Cell) -> str:
    if isinstance(value, Badge):
        return f"{_MARKS[value.tone]}{text(value.text)}"
    if isinstance(value, Detailed):
        return f"{text(value.text)} ({text(value.detail)})"
    return text(value.text if isinstance(value, Picture) else value)


def _case(case: Case) -> Iterator[str]:
    place = [f"turn {case.turn}" if case.turn else "", f"line {case.line}" if case.line else ""]
    place += [f"flow {case.flow}" if case.flow else "", case.command]
    yield f"#### {text(', '.join(filter(None, [case.test, *place])))}"
    yield ""
    yield f"User: {text(case.user)}"
    if case.reason:
        yield ""
        yield f"Reason: {text(case.reason)}"
    for title, written in (("Expected", case.expected), ("Predicted", case.predicted or "nothing")):
        yield ""
        yield f"{title}:"
        yield ""
        yield from fenced("not known: another way led here" if written is None else written)
    if case.conversation:
        yield ""
        yield "Conversation:"
        yield ""
        yield from fenced("\n".join(case.conversation))
    yield ""
