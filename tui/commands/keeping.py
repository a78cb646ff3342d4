"""Commands that look at sessions and tidy them up."""

from __future__ import annotations

from contextlib import closing

import click

from core.errors import CalmtuneError
from tui.opening import (
    existing_session,
    home,
    json_option,
    session_argument,
    show_statuses,
)
from tui.output import narrate


@click.command()
@json_option
def sessions(as_json: bool) -> None:
    """List the sessions here, the newest first."""
    from core.wizard.session import Session, sessions_in
    from tui import output

    rows = []
    for folder in sessions_in(home()):
        try:
            with closing(Session.open(folder)) as session:
                status = session.status(session.frontier)
        except (CalmtuneError, OSError) as error:  # one that cannot be read hides no other
            rows.append({"session": folder.name, "step": "", "state": "unreadable", "reason": str(error)})
        else:
            rows.append({"session": session.id, "step": status.step, "state": status.state, "reason": status.reason})
    if as_json:
        output.as_json(rows)
    elif rows:
        output.data(
            output.table(
                [[row["session"], row["step"], row["state"], row["reason"]] for row in rows],
                ["session", "step", "state", "why"],
            )
        )
    else:
        narrate(f"no sessions in {home()}")


@click.command()
@session_argument
@json_option
def status(session: str | None, as_json: bool) -> None:
    """Show where each step of a session stands, and why; and what it has rented."""
    from core.wizard.rents import still_rented

    opened = existing_session(session)
    try:
        show_statuses(opened, as_json)
        try:
            for told in still_rented(opened.journal):
                narrate(told)
        except CalmtuneError as error:
            narrate(f"warning: rented machines may still be there: {error}")
    finally:
        opened.close()


@click.command()
@session_argument
@click.option("--yes", is_flag=True, help="Remove them without asking.")
def gc(session: str | None, yes: bool) -> None:
    """Remove outputs that no present answer of a session leads to."""
    import shutil

    opened = existing_session(session)
    try:
        folders = opened.unreachable_runs()
        size = sum(file.stat().st_size for folder in folders for file in folder.rglob("*") if file.is_file())
        if not folders:
            narrate("nothing to remove")
            return
        if not yes and not click.confirm(f"remove {len(folders)} old runs ({size / 1e6:.0f} MB)?", err=True):
            return
        for folder in folders:
            shutil.rmtree(folder)
        narrate(f"removed {len(folders)} old runs, {size / 1e6:.0f} MB")
    finally:
        opened.close()
