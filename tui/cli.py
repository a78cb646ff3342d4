"""The command line: `calmtune` and its commands; errors become a sentence and an exit code."""

from __future__ import annotations

import sys
import traceback

import click

from core.errors import CalmtuneError
from tui.commands import (
    answers,
    coverage,
    dataset,
    demo,
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
from tui.opening import open_app
from tui.output import narrate


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
        narrate("stopped; what was finished is kept, `calmtune resume` goes on")
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except CalmtuneError as error:
        if debug:
            _show_traceback()
        narrate(str(error))
        sys.exit(error.exit_code)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(0)
    except OSError as error:
        if debug:
            _show_traceback()
        where = f" ({error.filename})" if error.filename else ""
        narrate(f"{error.strerror or error}{where}; what was finished is kept, `calmtune resume` goes on")
        sys.exit(1)
    except Exception as error:
        if debug:
            _show_traceback()
        narrate(
            f"a mistake in calmtune: {type(error).__name__}: {error}; run again with --debug and report what it shows"
        )
        sys.exit(1)


def _show_traceback() -> None:
    """Of the error that is being handled; what it quotes may hold keys, which are taken out."""
    narrate(traceback.format_exc().rstrip())


@click.group(invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
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
    coverage.coverage, dataset.dataset, *steps.COMMANDS, answers.answers, demo.demo,
):  # fmt: skip
    cli.add_command(command)


if __name__ == "__main__":
    main()
