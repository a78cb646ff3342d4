"""The command line: `calmtune` and its commands; errors become a sentence and an exit code."""

from __future__ import annotations

import os
import sys
import traceback
from typing import Any

import click

from core.collector import collect_rarely
from tui.commands import (
    answers,
    completing,
    coverage,
    dataset,
    demo,
    events,
    export,
    grammar,
    keeping,
    machine,
    models,
    offers,
    proxy,
    report,
    running,
    steps,
)
from tui.completion import prepare as prepare_completion
from tui.encoding import prepare_streams
from tui.ending import end_as_ctrl_c_does, ending_of
from tui.opening import open_app
from tui.output import narrate


def main() -> None:
    """Entry point: errors become a sentence on stderr and an exit code."""
    collect_rarely()
    end_as_ctrl_c_does()
    prepare_streams()
    debug = "--debug" in sys.argv
    try:
        prepare_completion()
        cli(standalone_mode=False, prog_name="calmtune", args=[argument for argument in sys.argv[1:] if argument != "--debug"])
    except (BrokenPipeError, _NobodyReadsError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nobody reads what is left in its buffer
        sys.exit(0)
    except (Exception, KeyboardInterrupt) as error:
        ending = ending_of(error)
        if isinstance(error, click.ClickException):
            error.show()
        elif ending.sentence:
            if debug and not isinstance(error, KeyboardInterrupt | click.Abort):
                _show_traceback()
            narrate(ending.sentence)
        sys.exit(ending.exit_code)


def _show_traceback() -> None:
    """Of the error that is being handled; what it quotes may hold keys, which are taken out."""
    narrate(traceback.format_exc().rstrip())


class _NobodyReadsError(Exception):
    """Whoever read stdout has enough of it, as `head` has."""


class _Commands(click.Group):
    def invoke(self, ctx: click.Context) -> Any:
        """A broken pipe by another name: click ends with exit code 1 where it sees one."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            raise _NobodyReadsError from error


@click.group(cls=_Commands, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="calmtune", prog_name="calmtune")
@click.pass_context
def cli(context: click.Context) -> None:
    """Move a CALM assistant from a big hosted language model to a small one of your own.

    Without a command, opens the app: the newest unfinished session here, or a new one. Add --debug to see where an error came from.
    """
    if context.invoked_subcommand is None:
        open_app(None)


for command in (
    running.run, running.resume, running.attach, running.stop,
    keeping.sessions, keeping.status, report.report, export.export, keeping.gc,
    machine.doctor, offers.offers, machine.serve, machine.web,
    grammar.grammar, proxy.proxy, proxy.probe, models.models,
    coverage.coverage, dataset.dataset, *steps.COMMANDS, answers.answers, events.events, demo.demo, completing.completion,
):  # fmt: skip
    cli.add_command(command)


if __name__ == "__main__":
    main()
