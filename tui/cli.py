"""The command line: what each command does is one short function; everything heavy is imported inside."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from core.errors import CalmtuneError, UsageError

if TYPE_CHECKING:
    from core.wizard.session import Session, StepStatus

STEP_NAMES = ("coverage", "dataset", "training", "evaluation", "production", "deployment", "connection")
_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout.")
_set = click.option(
    "--set", "settings", multiple=True, metavar="STEP.FIELD=VALUE", help="Answer one question; repeatable."
)


def home() -> Path:
    """Where sessions are kept: $CALMTUNE_HOME, else .calmtune in this folder."""
    return Path(os.environ.get("CALMTUNE_HOME", ".calmtune")) / "sessions"


def main() -> None:
    """Entry point: errors become a sentence on stderr and an exit code."""
    debug = "--debug" in sys.argv
    try:
        cli(standalone_mode=False, args=[argument for argument in sys.argv[1:] if argument != "--debug"])
    except click.exceptions.Exit as exit:
        sys.exit(exit.exit_code)
    except click.Abort:
        sys.exit(130)
    except KeyboardInterrupt:
        _say("stopped; what was finished is kept, `calmtune resume` goes on")
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except CalmtuneError as error:
        if debug:
            raise
        _say(str(error))
        sys.exit(error.exit_code)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(0)
    except Exception as error:
        if debug:
            raise
        _say(f"a mistake in calmtune: {type(error).__name__}: {error}; run again with --debug and report what it shows")
        sys.exit(1)


def _say(text: str) -> None:
    from tui.output import narrate

    narrate(text)


@click.group(invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="calmtune", prog_name="calmtune")
@click.pass_context
def cli(context: click.Context) -> None:
    """Move a CALM assistant from a big hosted language model to a small one of your own.

    Without a command, opens the app: the newest unfinished session here, or a new one. Add --debug to see where an error came from.
    """
    if context.invoked_subcommand is None:
        _open_app(None)


def _open_app(session: str | None) -> None:
    from tui.output import is_terminal

    if not is_terminal():
        raise UsageError(
            "no terminal to open the app in; use `calmtune run --answers answers.yml` (see `calmtune answers init`)"
        )
    from tui.app import run_app

    run_app(home(), session)


# Running


@cli.command()
@click.option("--answers", "file", type=click.Path(path_type=Path), help="Answers file (see `calmtune answers init`).")
@click.option("--session", "name", help="Name of the session; continued when it exists.")
@click.option("--until", type=click.Choice(STEP_NAMES), default=STEP_NAMES[-1], help="Stop after this step.")
@click.option("--force", type=click.Choice(STEP_NAMES), multiple=True, help="Run this step again; repeatable.")
@click.option("--plan", is_flag=True, help="Show what would run; change nothing.")
@click.option("--plain", is_flag=True, help="Ask with plain prompts (screen readers, dumb terminals).")
@_set
@_json
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
    session = _open_or_create(name)
    try:
        merged = {
            section: {**session.answers.get(section, {}), **given.get(section, {})}
            for section in (answering.SESSION, *STEP_NAMES)
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
            _show_statuses(session, as_json)
        else:
            _run(session, until, force, as_json)
    finally:
        session.close()


def _open_or_create(name: str | None) -> Session:
    from core.wizard.session import Session

    if name is not None and (home() / name / "session.db").is_file():
        return Session.open(home() / name)
    return Session.create(home(), name)


def _run(session: Session, until: str, force: Sequence[str] = (), as_json: bool = False) -> list[StepStatus]:
    import asyncio

    from core.wizard.run import run_recipe
    from tui.headless import Narrator

    if session.notice:
        _say(session.notice)
    narrator = Narrator(quiet=False)
    try:
        statuses = asyncio.run(run_recipe(session, narrator.on_event, until, force, narrator.on_step))
    finally:
        if as_json:
            _show_statuses(session, as_json)
    if not as_json:
        _show_statuses(session, as_json)
    return statuses


@cli.command()
@click.argument("session", required=False)
@click.option("--until", type=click.Choice(STEP_NAMES), default=STEP_NAMES[-1], help="Stop after this step.")
@_json
def resume(session: str | None, until: str, as_json: bool) -> None:
    """Go on with a session (the newest when none is named), headless, from where it stands."""
    opened = _existing(session)
    try:
        _run(opened, until, as_json=as_json)
    finally:
        opened.close()


def _existing(name: str | None) -> Session:
    from core.wizard.session import Session, sessions_in

    if name is not None:
        return Session.open(home() / name)
    found = sessions_in(home())
    if not found:
        raise UsageError(f"no session in {home()}; `calmtune run --answers FILE` begins one")
    return Session.open(found[0])


@cli.command()
@click.argument("session", required=False)
def attach(session: str | None) -> None:
    """Open a session in the app."""
    _open_app(session)


@cli.command()
@click.argument("session", required=False)
def stop(session: str | None) -> None:
    """Stop whatever a session has running: training jobs and model servers."""
    opened = _existing(session)
    try:
        stopped = 0
        for target in opened.targets.values():
            for job in target.list():
                if job.state == "running":
                    target.cancel(job.id)
                    _say(f"stopped {job.id}")
                    stopped += 1
        if not stopped:
            _say(f"nothing of session {opened.id} is running")
    finally:
        opened.close()


@cli.command()
@click.argument("session", required=False)
@click.option("--yes", is_flag=True, help="Remove them without asking.")
def gc(session: str | None, yes: bool) -> None:
    """Remove outputs that no present answer of a session leads to."""
    import shutil

    opened = _existing(session)
    try:
        folders = opened.unreachable_runs()
        size = sum(file.stat().st_size for folder in folders for file in folder.rglob("*") if file.is_file())
        if not folders:
            _say("nothing to remove")
            return
        if not yes and not click.confirm(f"remove {len(folders)} old runs ({size / 1e6:.0f} MB)?", err=True):
            return
        for folder in folders:
            shutil.rmtree(folder)
        _say(f"removed {len(folders)} old runs, {size / 1e6:.0f} MB")
    finally:
        opened.close()


@cli.command()
@click.argument("session", required=False)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("calmtune-export"),
    show_default=True,
    help="Folder to write.",
)
def export(session: str | None, out: Path) -> None:
    """Copy a session's answers, reports and finished outputs (models left out) to a folder."""
    import shutil

    opened = _existing(session)
    try:
        if out.exists():
            raise UsageError(f"{out} exists already; name another folder with --out")
        out.mkdir(parents=True)
        if (opened.folder / "answers.yml").exists():
            shutil.copyfile(opened.folder / "answers.yml", out / "answers.yml")
        for status in opened.statuses():
            if status.folder is not None and status.outputs is not None:
                leave = shutil.ignore_patterns("model", "adapter", "*.safetensors")
                shutil.copytree(status.folder, out / status.step, ignore=leave)
        _say(f"wrote {out}")
    finally:
        opened.close()


@cli.command()
@_json
def doctor(as_json: bool) -> None:
    """Look at this machine: what is installed, what runs without a session to own it."""
    from importlib.util import find_spec

    from core.wizard.session import sessions_in
    from provisioning.local import LocalTarget, Resources
    from tui import output

    packages = {
        "train": ("torch", "transformers", "trl", "peft", "datasets"),
        "serve": ("transformers", "fastapi", "uvicorn"),
        "vllm": ("vllm",),
        "actions": ("rasa_sdk",),
        "plots": ("matplotlib",),
        "cloud": ("sky",),
    }
    found: list[dict[str, str]] = []
    for name, modules in packages.items():
        missing = [module for module in modules if find_spec(module) is None]
        found.append({"what": name, "state": f"missing {', '.join(missing)}" if missing else "installed"})
    (offer,) = LocalTarget(home()).offers(Resources())
    found.append({"what": "this machine", "state": offer.reason})
    for folder in sessions_in(home()):
        for job in LocalTarget(folder / "jobs").list():
            if job.state == "running":
                found.append({"what": f"job {job.id}", "state": f"running; `calmtune stop {folder.name}` ends it"})
    if as_json:
        output.as_json(found)
    else:
        output.data(output.table([[row["what"], row["state"]] for row in found], ["what", "state"]))


@cli.command()
@click.option(
    "--session", "name", default="demo", show_default=True, help="Name of the session; continued when it exists."
)
@click.option("--keep-serving", is_flag=True, help="Leave the model server running at the end.")
@_json
def demo(name: str, keep_serving: bool, as_json: bool) -> None:
    """The shipped sample assistant, all seven steps, on this machine."""
    from core.demo import answers as demo_answers
    from core.demo import copy_to
    from core.errors import CalmtuneError
    from tui import output

    session = _open_or_create(name)
    try:
        folder = session.folder / "sample"
        if not folder.exists():
            copy_to(folder)
        for section, body in demo_answers(folder.resolve()).items():
            if body != session.answers.get(section):
                session.answer(section, body)
        try:
            _run(session, STEP_NAMES[-1], as_json=as_json)
        finally:
            _demo_verdict(session)
            if not keep_serving:
                for target in session.targets.values():
                    for job in target.list():
                        if job.state == "running":
                            target.cancel(job.id)
    except CalmtuneError:
        output.narrate(f"`calmtune demo --session {name}` or `calmtune resume {name}` goes on from here")
        raise
    finally:
        session.close()


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


@cli.command()
@click.argument("model", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--name", default="calmtune", show_default=True, help="Name under which vLLM serves it.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Port on 127.0.0.1; 0 takes a free one.")
@click.option("--engine", type=click.Choice(["auto", "vllm", "transformers"]), default="auto", show_default=True)
def serve(model: Path, name: str, port: int, engine: str) -> None:
    """Serve the model in folder MODEL on this machine until Ctrl-C."""
    import asyncio
    import tempfile

    from core.serving.server import ModelServer, plan_server
    from tui import output

    async def until_stopped() -> None:
        plan = plan_server(model.resolve(), name, engine, port)  # type: ignore[arg-type]
        with tempfile.TemporaryDirectory() as scratch:
            async with ModelServer(plan, Path(scratch) / "server.log"):
                output.as_json(
                    {"endpoint": plan.endpoint.base_url, "model": plan.endpoint.model, "engine": plan.engine}
                )
                output.narrate("serving; Ctrl-C stops")
                await asyncio.Event().wait()

    asyncio.run(until_stopped())


@cli.command()
@click.option("--port", type=click.IntRange(1, 65535), default=8765, show_default=True, help="Port on 127.0.0.1.")
def web(port: int) -> None:
    """The app in a browser, on this machine only."""
    from importlib.util import find_spec

    if find_spec("textual_serve") is None:
        raise UsageError("the browser version needs textual-serve; install calmtune[web]")
    from textual_serve.server import Server

    Server(f"{sys.executable} -m tui.cli", host="127.0.0.1", port=port, title="calmtune").serve()


# Looking


@cli.command()
@_json
def sessions(as_json: bool) -> None:
    """List the sessions here, the newest first."""
    from core.wizard.session import Session, sessions_in
    from tui import output

    rows = []
    for folder in sessions_in(home()):
        session = Session.open(folder)
        status = session.status(session.frontier)
        rows.append({"session": session.id, "step": status.step, "state": status.state, "reason": status.reason})
        session.close()
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
        _say(f"no sessions in {home()}")


@cli.command()
@click.argument("session", required=False)
@_json
def status(session: str | None, as_json: bool) -> None:
    """Show where each step of a session stands, and why."""
    opened = _existing(session)
    try:
        _show_statuses(opened, as_json)
    finally:
        opened.close()


def _show_statuses(session: Session, as_json: bool) -> None:
    from tui import output

    statuses = session.statuses()
    if as_json:
        output.as_json(
            {
                "session": session.id,
                "steps": [
                    {
                        "step": status.step,
                        "state": status.state,
                        "reason": status.reason,
                        "folder": str(status.folder) if status.folder else None,
                        "gates": [vars(gate) for gate in status.outputs.gates] if status.outputs else [],
                        "summary": status.outputs.summary if status.outputs else None,
                    }
                    for status in statuses
                ],
            }
        )
        return
    rows = [[status.step, status.state, status.reason[:90]] for status in statuses]
    output.data(output.table(rows, ["step", "state", "why"]))


# One step alone


@cli.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--tests", help="Test file, folder or file.yml::name; found in the assistant's folder when not given.")
@click.option(
    "--commands",
    default="auto",
    metavar="infer|llm|FILE",
    help="Where commands come from; auto takes llm if it can be asked.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("e2e_coverage_results"),
    show_default=True,
    help="Folder for the results.",
)
@click.option(
    "--total-min", type=click.FloatRange(0, 1), default=0.90, show_default=True, help="Share of all steps to reach."
)
@click.option(
    "--flow-min",
    type=click.FloatRange(0, 1),
    default=0.80,
    show_default=True,
    help="Share of each flow's steps to reach.",
)
@_json
def coverage(
    path: Path, tests: str | None, commands: str, out: Path, total_min: float, flow_min: float, as_json: bool
) -> None:
    """Run the tests of the assistant in PATH and measure which flow steps and commands they cover."""
    import asyncio

    from core.e2e.output import histogram_text, ranges, summary_line
    from core.errors import GateFailed
    from core.evaluation.review import review
    from tui import output

    found = asyncio.run(
        review(path, tests, commands, folder=out, total_min=total_min, per_flow_min=flow_min, min_command_samples=1)
    )
    for notice in found.notices:
        output.narrate(notice)
    for report in found.failure_reports:
        output.narrate(report)
    if as_json:
        output.as_json(found.summary)
    else:
        rows = [
            [flow.name, f"{100 * flow.coverage:.2f}%", str(flow.steps), str(flow.missing), ranges(flow.missing_lines)]
            for flow in found.coverage.flows
        ]
        total = found.coverage
        rows.append(["Total", f"{100 * total.total:.2f}%", str(total.steps), str(total.missing), ""])
        output.data(output.table(rows, ["Flow Name", "Coverage", "Num Steps", "Missing Steps", "Line Numbers"]))
        output.data("\n" + histogram_text(found.summary["commands"]))
        output.data("\n" + summary_line(found.results))
        for gate in found.gates:
            output.data(
                f"{'passed' if gate.passed else 'FAILED'}: {gate.name}: {gate.measured} (required {gate.required})"
            )
    output.narrate(f"results are in {out}")
    if not all(gate.passed for gate in found.gates):
        failed = ", ".join(gate.name for gate in found.gates if not gate.passed)
        raise GateFailed(f"not yet: {failed}")


def _single_step(name: str, step_id: str, help: str) -> None:
    """A command that brings one step (and what it needs) up to date."""

    @cli.command(name, help=help)
    @click.argument("path", type=click.Path(path_type=Path), required=False)
    @click.option("--session", "session_name", help="Session to work in; a new one when not given.")
    @_set
    @_json
    def command(path: Path | None, session_name: str | None, settings: Sequence[str], as_json: bool) -> None:
        from core.wizard import answers as answering

        if path is None and session_name is None:
            raise UsageError(f"calmtune {name} needs the assistant's folder, or --session to go on in one")
        session = _open_or_create(session_name)
        try:
            given = {section: dict(body) for section, body in session.answers.items()}
            if path is not None:
                given.setdefault(answering.SESSION, {})["assistant"] = str(path.resolve())
            for text in settings:
                answering.set_one(text, given)
            for section, body in given.items():
                if body != session.answers.get(section):
                    session.answer(section, body)
            _run(session, step_id, as_json=as_json)
        finally:
            session.close()


_single_step(
    "prepare", "dataset", "Annotate and rephrase the passing tests of the assistant in PATH into training rows."
)
_single_step("train", "training", "Fine-tune a model on the prepared rows.")
_single_step("evaluate", "evaluation", "Run validation and training tests with the tuned model.")
_single_step("deploy", "deployment", "Serve the final model and write docker and Kubernetes files.")
_single_step("connect", "connection", "Point the assistant's configuration at the served model.")


# Answers


@cli.group()
def answers() -> None:
    """Write, check and describe answers files."""


@answers.command("init")
@click.argument("file", type=click.Path(path_type=Path), default=Path("answers.yml"))
def answers_init(file: Path) -> None:
    """Write a commented answers file with every default."""
    from core.wizard.answers import template

    if file.exists():
        raise UsageError(f"{file} exists already; remove it or name another file")
    file.write_text(template(), encoding="utf-8")
    _say(f"wrote {file}; fill in `assistant` and run `calmtune run --answers {file}`")


@answers.command("check")
@click.argument("file", type=click.Path(path_type=Path, exists=True))
@_json
def answers_check(file: Path, as_json: bool) -> None:
    """Check an answers file; every mistake with its line."""
    from core.wizard.answers import read_answers
    from tui import output

    given = read_answers(file)
    if as_json:
        output.as_json(given)
    else:
        output.data(f"{file}: no mistakes")


@answers.command("schema")
def answers_schema() -> None:
    """Print the JSON Schema of answers files."""
    from core.wizard.answers import schema
    from tui import output

    output.as_json(schema())


if __name__ == "__main__":
    main()
