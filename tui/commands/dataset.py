"""Looking at prepared rows, and deciding about single ones: `calmtune dataset show | accept | reject | edit`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from core.errors import UsageError
from tui.opening import existing_session, json_option

if TYPE_CHECKING:
    from core.dataset.decisions import Verdict
    from core.dataset.rows import Row
    from core.wizard.session import Session

DECISIONS = "decisions.yml"
"""In the session's folder."""

_session_option = click.option("--session", "session_name", help="Session to work in; the newest when not given.")


@click.group()
def dataset() -> None:
    """Look at prepared rows, and accept, reject or edit single wordings."""


@dataset.command()
@click.argument("session", required=False)
@click.option("--row", "number", help="Number of one row to show whole, such as 12 or r3.")
@click.option("--rejected", is_flag=True, help="Show the wordings that became no rows, with the reasons.")
@click.option("--test", help="Only rows of tests with this text in their name.")
@json_option
def show(session: str | None, number: str | None, rejected: bool, test: str | None, as_json: bool) -> None:
    """Page through the rows of SESSION: conversation, prompt and commands."""
    from tui import output

    opened = existing_session(session)
    try:
        rows = _rows(opened)
    finally:
        opened.close()
    if number is not None:
        rows = [_numbered(rows, number)]
    else:
        rows = [row for row in rows if (row.reason is not None) == rejected and (test or "") in row.test]
    if as_json:
        output.as_json([asdict(row) for row in rows])
    elif output.is_terminal():
        click.echo_via_pager("\n\n".join(map(_whole, rows)))
    else:
        output.data("\n\n".join(map(_whole, rows)))


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


def _decide(numbers: Sequence[str], session_name: str | None, verdict: Verdict, text: str | None = None) -> None:
    """Write decisions into the session's file and make the preparation read it."""
    from core.dataset.decisions import Decision, read_decisions, write_decisions
    from tui.output import narrate

    session: Session = existing_session(session_name)
    try:
        rows = [_numbered(_rows(session), number) for number in numbers]
        for row in rows:
            if verdict == "edit" and row.wording == row.original and row.reason is None:
                raise UsageError(f"row {row.number} is the message of the test {row.test}; edit it there")
            if verdict == "accept" and row.reason is None:
                raise UsageError(
                    f"row {row.number} is accepted already; `calmtune dataset show --rejected` lists the others"
                )
        given = session.answers.get("dataset", {})
        path = session.model("dataset").decisions or session.folder.resolve() / DECISIONS
        earlier = read_decisions(path) if path.is_file() else []
        new = [Decision(row.test, row.turn, row.wording, verdict, text) for row in rows]
        if session.read_only:
            raise UsageError(session.notice or "this session can only be looked at here")
        write_decisions(path, [*earlier, *new])
        if given.get("decisions") != str(path):
            session.answer("dataset", {**given, "decisions": str(path)})
        narrate(f"noted in {path}; {session.status('dataset').reason or 'the rows are made again with the next run'}")
    finally:
        session.close()


def _rows(session: Session) -> list[Row]:
    """The rows of the newest finished preparation. Raises UsageError when there is none."""
    from core.dataset.output import ALL_ROWS
    from core.dataset.rows import read_rows

    runs = [run for run in (session.folder / "runs").glob("dataset-*") if (run / "outputs.json").is_file()]
    runs = [run for run in runs if (run / ALL_ROWS).is_file()]
    if not runs:
        raise UsageError(f"session {session.id} has no prepared rows yet; `calmtune resume {session.id}` makes them")
    status = session.status("dataset")
    if status.folder is not None and status.folder in runs:
        return read_rows(status.folder)
    return read_rows(max(runs, key=lambda run: (run / "outputs.json").stat().st_mtime))


def _numbered(rows: Sequence[Row], number: str) -> Row:
    row = next((row for row in rows if row.number == number), None)
    if row is None:
        raise UsageError(
            f"there is no row {number}; `calmtune dataset show` lists them, `--rejected` the rejected wordings"
        )
    return row


def _whole(row: Row) -> str:
    """A row as text: where it comes from, what was said, the prompt and the commands."""
    parts = [f"{row.number}  {row.test}, turn {row.turn}"]
    parts += [f"    {line}" for line in row.conversation]
    reworded = f"   (of: {row.original})" if row.wording != row.original else ""
    parts.append(f"  > USER: {row.wording}{reworded}")
    if row.reason is not None:
        parts.append(f"  rejected: {row.reason}")
    if row.prompt:
        parts += ["  prompt:", *(f"  | {line}" for line in row.prompt.split("\n"))]
    parts += ["  commands:", *(f"    {command}" for command in row.commands)]
    return "\n".join(parts)
