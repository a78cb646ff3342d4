"""Commands that run a session, leave it or stop it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import click

from core.errors import UsageError
from core.wizard.recipe import STEP_IDS
from tui import completion
from tui.opening import (
    events_of,
    events_option,
    existing_session,
    open_app,
    open_or_create,
    require_assistant,
    run_headless,
    session_argument,
    session_exists,
    session_to_look_at,
    set_option,
    until_option,
)
from tui.output import narrate
from tui.plan import show_plan


@click.command()
@click.option("--answers", "file", type=click.Path(path_type=Path), help="Answers file (see `calmtune answers init`).")
@click.option("--session", "name", shell_complete=completion.sessions, help="Name of the session; continued when it exists.")
@until_option
@click.option("--force", type=click.Choice(STEP_IDS), multiple=True, help="Run this step again; repeatable.")
@click.option("--plan", is_flag=True, help="Show what would run; change nothing.")
@click.option("--plain", is_flag=True, help="Ask with plain prompts (screen readers, dumb terminals).")
@set_option
@events_option
def run(
    file: Path | None, name: str | None, until: str, force: Sequence[str], plan: bool, plain: bool,
    settings: Sequence[str], as_json: bool,
) -> None:  # fmt: skip
    """Run the steps headless from an answers file, or with plain prompts.

    With --json, stdout has one JSON object a line: events, and at last the outcome. With --plan it has one object, the plan.
    """
    with events_of(as_json and not plan) as stream:
        if file is None and not plain and not settings and name is None:
            raise UsageError("nothing to run: give --answers FILE, or --plain to be asked")
        if plain and (as_json or plan):
            raise UsageError("--plain asks and tells people; give either it, or --json and --plan")
        if plain and not sys.stdin.isatty():
            raise UsageError("no terminal to ask in; use `calmtune run --answers answers.yml`")
        if file is not None and not file.is_file():
            raise UsageError(f"there is no file {file}; `calmtune answers init` writes one to start from")
        given = _given(file, settings)
        if not plain and not session_exists(name):
            require_assistant(given)
        with session_to_look_at(name) if plan else closing(open_or_create(name)) as session:
            answers = {section: {**session.answers.get(section, {}), **body} for section, body in given.items()}
            if plain:
                from tui.plain import walk

                walk(session, answers, until, force)
                return
            if answers["session"] != session.answers.get("session") or not answers["session"]:
                require_assistant(answers)
            if plan:
                show_plan(session, answers, until, force, as_json)
                return
            for section, body in answers.items():
                if body != session.answers.get(section, {}):
                    session.answer(section, body)
            run_headless(session, until, force, stream)


def _given(file: Path | None, settings: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Answers by section: those of the file, over them --set. Raises UsageError with every mistake."""
    from core.wizard.answers import SESSION
    from core.wizard.answers_file import read_answers
    from core.wizard.answers_set import set_answers

    found = read_answers(file) if file else {}
    given = {section: found.get(section, {}) for section in (SESSION, *STEP_IDS)}
    set_answers(settings, given)
    return given


@click.command()
@session_argument
@until_option
@events_option
def resume(session: str | None, until: str, as_json: bool) -> None:
    """Go on with a session (the newest when none is named), headless, from where it stands."""
    with events_of(as_json) as stream:
        opened = existing_session(session)
        try:
            run_headless(opened, until, stream=stream)
        finally:
            opened.close()


@click.command()
@session_argument
def attach(session: str | None) -> None:
    """Open a session in the app."""
    open_app(session)


@click.command()
@session_argument
def stop(session: str | None) -> None:
    """Stop whatever a session has running: training jobs, model servers and services, and the machines rented for them."""
    from core.wizard.rents import still_rented

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
