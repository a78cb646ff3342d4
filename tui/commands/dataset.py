"""Looking at prepared rows, and deciding about single ones: `calmtune dataset show | accept | reject | edit | undo`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from core.errors import UsageError
from tui import completion
from tui.opening import existing_session, json_option, session_argument

if TYPE_CHECKING:
    from core.dataset.decisions import Verdict
    from core.dataset.rows import Row
    from core.wizard.row_review import RowReview

_session_option = click.option("--session", "session_name", shell_complete=completion.sessions,
    help="Session to work in; the newest when not given.",
)


@click.group()
def dataset() -> None:
    """Look at prepared rows, and accept, reject or edit single wordings. The app does the same on a screen."""


@dataset.command()
@session_argument
@click.option("--row", "number", help="Number of one row to show whole, such as 12 or r3.")
@click.option("--rejected", is_flag=True, help="Show the wordings that became no rows, with the reasons.")
@click.option("--test", help="Only rows of tests with this text in their name.")
@json_option
def show(session: str | None, number: str | None, rejected: bool, test: str | None, as_json: bool) -> None:
    """Page through the rows of SESSION: conversation and commands; with --row the prompt, too."""
    from core.dataset.rows import read_rows
    from core.wizard.row_review import newest_preparation
    from tui import output

    opened = existing_session(session)
    try:
        rows = read_rows(newest_preparation(opened))
    finally:
        opened.close()
    if number is not None:
        rows = [_numbered(rows, number)]
    else:
        rows = [row for row in rows if (row.reason is not None) == rejected and (test or "") in row.test]
    if as_json:
        output.as_json([asdict(row) for row in rows])
    elif not rows:
        output.narrate(f"no {'rejected wording' if rejected else 'row'}{f' of a test with {test!r} in its name' if test else ''}")
    elif output.is_terminal():
        click.echo_via_pager(_listed(rows, number is not None))
    else:
        output.data(_listed(rows, number is not None))


@dataset.command()
@click.argument("numbers", nargs=-1, required=True)
@_session_option
def accept(numbers: Sequence[str], session_name: str | None) -> None:
    """Make rows of rejected wordings, named by the numbers `show --rejected` gives (r3)."""
    _decide(numbers, session_name, "accept")


@dataset.command()
@click.argument("numbers", nargs=-1, required=True)
@_session_option
def reject(numbers: Sequence[str], session_name: str | None) -> None:
    """Leave rows out, named by the numbers `show` gives (12)."""
    _decide(numbers, session_name, "reject")


@dataset.command()
@click.argument("number")
@click.argument("text")
@_session_option
def edit(number: str, text: str, session_name: str | None) -> None:
    """Give a wording another TEXT; the commands stay."""
    _decide([number], session_name, "edit", text)


@dataset.command()
@click.argument("numbers", nargs=-1, required=True)
@_session_option
def undo(numbers: Sequence[str], session_name: str | None) -> None:
    """Take back what was decided about rows or rejected wordings."""
    _change(session_name, lambda review: review.undo([_numbered(review.rows, number) for number in numbers]))


def _decide(numbers: Sequence[str], session_name: str | None, verdict: Verdict, text: str | None = None) -> None:
    _change(
        session_name,
        lambda review: review.decide([_numbered(review.rows, number) for number in numbers], verdict, text),
    )


def _change(session_name: str | None, change: Callable[[RowReview], None]) -> None:
    """Change the decisions of a session, and say what follows from it."""
    from core.wizard.row_review import RowReview
    from tui.output import narrate

    session = existing_session(session_name)
    try:
        review = RowReview(session, prompts=False)
        change(review)
        narrate(f"noted in {review.path}; {review.outlook() or 'the rows show every decision'}")
    finally:
        session.close()


def _numbered(rows: Sequence[Row], number: str) -> Row:
    row = next((row for row in rows if row.number == number), None)
    if row is None:
        raise UsageError(
            f"there is no row {number}; `calmtune dataset show` lists them, `--rejected` the rejected wordings"
        )
    return row


def _listed(rows: Sequence[Row], whole: bool) -> str:
    """Rows as text; the prompt, nearly the same in all and longer than the rest of them, only of a `whole` one."""
    return "\n\n".join(_as_text(row, row.prompt if whole else "") for row in rows)


def _as_text(row: Row, prompt: str) -> str:
    """Where a row comes from, what was said, the prompt and the commands."""
    parts = [f"{row.number}  {row.test}, turn {row.turn}"]
    parts += [f"    {line}" for line in row.conversation]
    reworded = f"   (of: {row.original})" if row.wording != row.original else ""
    parts.append(f"  > USER: {row.wording}{reworded}")
    if row.reason is not None:
        parts.append(f"  rejected: {row.reason}")
    if prompt:
        parts += ["  prompt:", *(f"  | {line}" for line in prompt.split("\n"))]
    parts += ["  commands:", *(f"    {command}" for command in row.commands)]
    return "\n".join(parts)
