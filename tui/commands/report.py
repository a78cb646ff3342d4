"""The report of a session: one file to send to others."""

from __future__ import annotations

from pathlib import Path

import click

from core.errors import UsageError
from tui.opening import existing_session, json_option, session_argument
from tui.output import narrate

FORMATS = ("html", "md", "json")


@click.command()
@session_argument
@click.option(
    "--format", "chosen", type=click.Choice(FORMATS), help="Print the report in this form, or write it so to --out."
)
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), help="File to write; its suffix names the form."
)
@click.option("--open", "opens", is_flag=True, help="Show the report in the browser.")
@json_option
def report(session: str | None, chosen: str | None, out: Path | None, opens: bool, as_json: bool) -> None:
    """Write the report of SESSION: what passed, what did not and why, what it cost, how to repeat it.

    Without options, report.html, report.md and report.json in the session's folder are written anew, and the path of the first is
    printed. The HTML is one file that needs no other.
    """
    from core.atomic import write_atomically
    from core.wizard import reporting
    from tui import output

    form = _form(chosen, out, as_json)
    opened = existing_session(session)
    try:
        page: Path | None = None
        if form is None or (opens and out is None):
            page = reporting.write_report(opened)
        if form is None:
            output.data(str(page))
        else:
            written = reporting.FORMATS[form](reporting.report_of(opened))
            if out is None:
                output.data(written.rstrip("\n"))
            else:
                with output.writing(out):
                    write_atomically(out, written)
                narrate(f"wrote {out}")
                page = out
    finally:
        opened.close()
    if opens and page is not None:
        _show(page)


def _form(chosen: str | None, out: Path | None, as_json: bool) -> str | None:
    """The one form asked for; None for all of them in the session's folder. Raises UsageError."""
    if as_json and chosen not in (None, "json"):
        raise UsageError(f"--json and --format {chosen} contradict each other; give one of them")
    if as_json or chosen is not None:
        return chosen or "json"
    if out is None:
        return None
    suffix = {".htm": "html", ".markdown": "md"}.get(out.suffix.lower(), out.suffix.lower().removeprefix("."))
    if suffix not in FORMATS:
        raise UsageError(f"--out {out}: name a file that ends in .html, .md or .json, or give --format")
    return suffix


def _show(page: Path) -> None:
    import webbrowser

    if not webbrowser.open(page.resolve().as_uri()):
        narrate(f"there is no browser here; open {page} in one")
