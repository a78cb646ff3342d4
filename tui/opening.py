"""What commands share: where sessions are, opening and running them, common options."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from core.errors import CalmtuneError, UsageError
from core.wizard.recipe import STEP_IDS
from tui import completion
from tui.output import narrate

if TYPE_CHECKING:
    from core.wizard.events import StepEvent
    from core.wizard.session import Session, StepStatus
    from tui.event_stream import EventStream
    from tui.headless import Narrator

events_option = click.option(
    "--json", "as_json", is_flag=True, help="Print events as JSON lines on stdout (`calmtune events schema`)."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout.")
patterns_option = click.option(
    "--patterns",
    type=click.Choice(["auto", "newest", "3.14", "3.13"]),
    default="auto",
    show_default=True,
    help="Version of conversation repair; auto follows what the tests and the domain mention.",
)
session_argument = click.argument("session", required=False, shell_complete=completion.sessions)
set_option = click.option(
    "--set", "settings", multiple=True, metavar="STEP.FIELD=VALUE", shell_complete=completion.settings,
    help="Answer one question; repeatable.",
)  # fmt: skip
until_option = click.option("--until", type=click.Choice(STEP_IDS), default=STEP_IDS[-1], help="Stop after this step.")


def home() -> Path:
    """Where sessions are kept: $CALMTUNE_HOME, else .calmtune in this folder."""
    return Path(os.environ.get("CALMTUNE_HOME", ".calmtune")) / "sessions"


def existing_session(name: str | None) -> Session:
    """The session of a name, or the newest. Raises UsageError when there is none."""
    from core.wizard.session import Session, sessions_in

    if name is not None:
        return Session.open(home() / name)
    found = sessions_in(home())
    if not found:
        raise UsageError(f"no session in {home()}; `calmtune run --answers FILE` begins one")
    return Session.open(found[0])


def open_or_create(name: str | None) -> Session:
    """The session of a name, or a new one."""
    from core.wizard.session import Session

    if name is not None and session_exists(name):
        return Session.open(home() / name)
    return Session.create(home(), name)


def require_assistant(answers: Mapping[str, Mapping[str, Any]]) -> None:
    """Before a session is begun, so that a mistake leaves none behind. Raises UsageError where there is no assistant."""
    from core.assistant.project import load_assistant

    named = answers.get("session", {}).get("assistant")
    if not named:
        raise UsageError("which assistant? answer `assistant: path/to/it` in the answers file or with --set assistant=PATH")
    load_assistant(Path(named))


def session_exists(name: str | None) -> bool:
    from core.wizard.session import is_session

    return name is not None and is_session(home() / name)


@contextmanager
def session_to_look_at(name: str | None) -> Iterator[Session]:
    """The session of a name; where there is none, an empty one that leaves nothing behind."""
    import tempfile

    from core.wizard.session import Session

    with tempfile.TemporaryDirectory() as scratch:
        session = Session.open(home() / name) if name is not None and session_exists(name) else Session.create(Path(scratch), name)
        try:
            yield session
        finally:
            session.close()


def open_demo(home: Path, name: str) -> Session:
    """The session of the shipped sample assistant, with the answers that take it through all steps here."""
    from core.demo import answers, copy_to
    from core.wizard.session import Session, is_session

    session = Session.open(home / name) if is_session(home / name) else Session.create(home, name)
    sample = session.folder / "sample"
    if not sample.exists():
        if session.answers:  # the demo's answers would be mixed into somebody's work
            session.close()
            raise UsageError(f"session {name} is not the demo's; `calmtune demo --session NAME` gives the demo another name")
        copy_to(sample)
    for section, body in answers(sample.resolve()).items():
        if section not in session.answers:
            session.answer(section, body)
    return session


def run_headless(session: Session, until: str, force: Sequence[str] = (), stream: EventStream | None = None) -> list[StepStatus]:
    """Run what is not fresh, narrating on stderr. stdout gets the events where a stream is given, else the statuses."""
    import asyncio

    from core.wizard.run import run_recipe
    from tui.headless import Narrator

    if session.notice:
        narrate(session.notice)
    narrator = Narrator()
    hear = _Fronts(narrator, stream) if stream is not None else narrator
    if stream is not None:
        stream.session = session.id
    try:
        statuses = asyncio.run(run_recipe(session, hear.on_event, until, force, hear.on_step))
    finally:
        wind_up(session)
        if stream is not None:
            stream.statuses = session.statuses()
    if stream is None:
        show_statuses(session, as_json=False)
    return statuses


class _Fronts:
    """Subscribers of one run, each of which hears everything."""

    def __init__(self, *fronts: Narrator | EventStream) -> None:
        self._fronts = fronts

    def on_event(self, step_id: str, event: StepEvent) -> None:
        for front in self._fronts:
            front.on_event(step_id, event)

    def on_step(self, status: StepStatus) -> None:
        for front in self._fronts:
            front.on_step(status)


@contextmanager
def events_of(as_json: bool) -> Iterator[EventStream | None]:
    """The stream of events that --json asks for, closed with its last line; None without it."""
    if not as_json:
        yield None
        return
    from tui.event_stream import stream_of_run

    with stream_of_run() as stream:
        yield stream


def wind_up(session: Session) -> None:
    """What is done however a run ended: machines that nobody uses are ended, and the report is named."""
    _end_idle_machines(session)
    if (session.folder / "report.html").is_file():
        narrate(f"report: {session.folder / 'report.html'}")


def _end_idle_machines(session: Session) -> None:
    """Nobody is there to use an idle machine any more; a busy one serves the model."""
    from core.wizard.rents import still_rented

    for rented in session.targets.rented:
        try:
            if rented.rented() is None:
                continue
            gone = rented.release(narrate)
            narrate(f"{rented.machine} {'is ended' if gone else 'is busy and goes on'}")
        except CalmtuneError as error:
            narrate(f"warning: {rented.machine} may still be there: {error}")
    try:
        for told in still_rented(session.journal):
            narrate(told)
    except CalmtuneError as error:
        narrate(f"warning: rented machines may still be there: {error}")


def typed_path(text: str) -> Path:
    """A path as somebody types or drops it: with ~, or quoted as terminals do to what is dragged into them."""
    import shlex

    path = Path(text).expanduser()
    if not path.exists():
        with suppress(ValueError):  # a lone quotation mark: then it is part of the name
            words = shlex.split(text)
            path = Path(words[0]).expanduser() if len(words) == 1 else path
    return path


def open_app(session: str | None) -> None:
    """The app, on one session when named. Raises UsageError without a terminal."""
    from tui.output import is_terminal

    in_browser = "TEXTUAL_DRIVER" in os.environ
    if not in_browser and not is_terminal():
        if sys.stdin.isatty() and sys.stdout.isatty():
            raise UsageError("this terminal says it is dumb, and cannot show the app; `calmtune run --plain` asks in lines")
        raise UsageError(
            "no terminal to open the app in; use `calmtune run --answers answers.yml` (see `calmtune answers init`)"
        )
    from tui.app import run_app
    from tui.encoding import leave_to_app

    leave_to_app()
    run_app(home(), session)


def show_statuses(session: Session, as_json: bool) -> None:
    """Where each step stands, on stdout."""
    from tui import output

    statuses = session.statuses()
    if as_json:
        from core.wizard.event_lines import facts_of

        output.as_json({"session": session.id, "steps": [asdict(facts) for facts in facts_of(statuses)]})
        return
    rows = [[status.step, status.state, status.reason[:90]] for status in statuses]
    output.data(output.table(rows, ["step", "state", "why"]))
