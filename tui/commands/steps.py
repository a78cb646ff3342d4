"""One step alone: a session is brought up to date as far as that step."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from core.errors import UsageError
from tui import completion
from tui.opening import (
    events_of,
    events_option,
    open_or_create,
    require_assistant,
    run_headless,
    session_exists,
    set_option,
)


def _single_step(name: str, step_id: str, help: str) -> click.Command:
    """A command that brings one step (and what it needs) up to date."""

    @click.command(name, help=help)
    @click.argument("path", type=click.Path(path_type=Path), required=False)
    @click.option("--session", "session_name", shell_complete=completion.sessions, help="Session to work in; a new one when not given.")
    @set_option
    @events_option
    def command(path: Path | None, session_name: str | None, settings: Sequence[str], as_json: bool) -> None:
        from core.wizard import answers as answering
        from core.wizard.answers_set import set_answers

        with events_of(as_json) as stream:
            if path is None and session_name is None:
                raise UsageError(f"calmtune {name} needs the assistant's folder, or --session to go on in one")
            named = {} if path is None else {answering.SESSION: {"assistant": str(path.resolve())}}
            set_answers(settings, named)
            if "assistant" in named.get(answering.SESSION, {}):
                require_assistant(named)
            elif not session_exists(session_name):
                raise UsageError(f"there is no session {session_name}; name the assistant's folder too, to begin it")
            session = open_or_create(session_name)
            try:
                for section in {**session.answers, **named}:
                    body = {**session.answers.get(section, {}), **named.get(section, {})}
                    if body != session.answers.get(section):
                        session.answer(section, body)
                run_headless(session, step_id, stream=stream)
            finally:
                session.close()

    return command


COMMANDS = (
    _single_step(
        "prepare", "dataset", "Annotate and rephrase the passing tests of the assistant in PATH into training rows."
    ),
    _single_step("train", "training", "Fine-tune a model on the prepared rows."),
    _single_step("evaluate", "evaluation", "Run validation and training tests with the tuned model."),
    _single_step("deploy", "deployment", "Serve the final model and write docker and Kubernetes files."),
    _single_step("connect", "connection", "Point the assistant's configuration at the served model."),
)
