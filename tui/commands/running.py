"""Commands that run a session, leave it or stop it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from core.errors import UsageError
from core.wizard.recipe import STEP_IDS
from tui.opening import (
    existing_session,
    json_option,
    open_app,
    open_or_create,
    run_headless,
    set_option,
    show_plan,
    until_option,
)
from tui.output import narrate


@click.command()
@click.option("--answers", "file", type=click.Path(path_type=Path), help="Answers file (see `calmtune answers init`).")
@click.option("--session", "name", help="Name of the session; continued when it exists.")
@until_option
@click.option("--force", type=click.Choice(STEP_IDS), multiple=True, help="Run this step again; repeatable.")
@click.option("--plan", is_flag=True, help="Show what would run; change nothing.")
@click.option("--plain", is_flag=True, help="Ask with plain prompts (screen readers, dumb terminals).")
@set_option
@json_option
def run(
    file: Path | None, name: str | None, until: str, force: Sequence[str], plan: bool, plain: bool,
    settings: Sequence[str], as_json: bool,
) -> None:  # fmt: skip
    """Run the steps headless from an answers file, or with plain prompts."""
    from core.wizard import answers as answering

    if file is None and not plain and not settings and name is None:
        raise UsageError("nothing to run: give --answers FILE, or --plain to be asked")
    if file is not None and not file.is_file():
        raise UsageError(f"there is no file {file}; `calmtune answers init` writes one to start from")
    given = answering.read_answers(file) if file else {}
    session = open_or_create(name)
    try:
        merged = {
            section: {**session.answers.get(section, {}), **given.get(section, {})}
            for section in (answering.SESSION, *STEP_IDS)
        }
        for text in settings:
            answering.set_one(text, merged)
        if plain:
            from tui.plain import ask

            ask(merged)
        if not merged[answering.SESSION].get("assistant"):
            raise UsageError(
                "which assistant? answer `assistant: path/to/it` in the answers file or with --set assistant=PATH"
            )
        for section, body in merged.items():
            if body != session.answers.get(section, {}):
                session.answer(section, body)
        if plan:
            show_plan(session, as_json)
        else:
            run_headless(session, until, force, as_json)
    finally:
        session.close()


@click.command()
@click.argument("session", required=False)
@until_option
@json_option
def resume(session: str | None, until: str, as_json: bool) -> None:
    """Go on with a session (the newest when none is named), headless, from where it stands."""
    opened = existing_session(session)
    try:
        run_headless(opened, until, as_json=as_json)
    finally:
        opened.close()


@click.command()
@click.argument("session", required=False)
def attach(session: str | None) -> None:
    """Open a session in the app."""
    open_app(session)


@click.command()
@click.argument("session", required=False)
def stop(session: str | None) -> None:
    """Stop whatever a session has running: training jobs, model servers and services, and the machines rented for them."""
    from core.wizard.machine_costs import still_rented

    opened = existing_session(session)
    try:
        stopped = 0
        for target in opened.targets.values():
            for job in target.list():
                if job.state == "running":
                    target.cancel(job.id)
                    narrate(f"stopped {job.id}")
                    stopped += 1
        for rented in opened.targets.rented:
            if rented.rented() is not None:
                rented.release(narrate, although_busy=True)
                narrate(f"ended the rented machine {rented.machine}")
                stopped += 1
        for told in still_rented(opened.journal):
            narrate(told)
        if not stopped:
            narrate(f"nothing of session {opened.id} is running")
    finally:
        opened.close()
