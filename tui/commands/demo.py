"""The demo: the shipped sample assistant, all seven steps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from core.wizard.session import Session

from core.wizard.recipe import STEP_IDS
from tui import completion
from tui.opening import (
    events_of,
    events_option,
    home,
    open_demo,
    run_headless,
)


@click.command()
@click.option(
    "--session", "name", default="demo", show_default=True,
    shell_complete=completion.sessions, help="Name of the session; continued when it exists."
)
@click.option("--keep-serving", is_flag=True, help="Leave the model server running at the end.")
@events_option
def demo(name: str, keep_serving: bool, as_json: bool) -> None:
    """The shipped sample assistant, all seven steps, on this machine."""
    from core.errors import CalmtuneError
    from tui import output

    with events_of(as_json) as stream:
        session = open_demo(home(), name)
        try:
            try:
                run_headless(session, STEP_IDS[-1], stream=stream)
            finally:
                _demo_verdict(session)
                if not keep_serving:
                    _stop_jobs(session)
        except CalmtuneError:
            output.narrate(f"`calmtune demo --session {name}` or `calmtune resume {name}` goes on from here")
            raise
        finally:
            session.close()


def _stop_jobs(session: Session) -> None:
    for target in session.targets.values():
        for job in target.list():
            if job.state == "running":
                target.cancel(job.id)


def _demo_verdict(session: Session) -> None:
    """The table the demo ends with, and where to read on."""
    from tui import output

    rows = []
    for status in session.statuses():
        for gate in status.outputs.gates if status.outputs else ():
            rows.append([status.step, gate.name, gate.required, gate.measured, "passed" if gate.passed else "FAILED"])
    if rows:
        output.narrate(output.table(rows, ["step", "gate", "required", "measured", "verdict"]))
    for status in session.statuses():
        if status.step in ("evaluation", "production") and status.folder is not None:
            output.narrate(f"{status.step} report: {status.folder / 'results'}")
