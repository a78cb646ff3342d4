"""Copying a session out: its final model to a place, or its papers to a folder."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import click

from core.errors import UsageError
from tui import completion
from tui.ending import CANCELLED
from tui.opening import existing_session, home, json_option
from tui.output import narrate

PAPERS = Path("calmtune-export")


@click.command()
@click.argument("what", metavar="[PLACE | SESSION]", required=False)
@click.option("--session", "name", shell_complete=completion.sessions, help="Session whose model goes to PLACE; the newest when not given.")
@click.option("--out", type=click.Path(path_type=Path), help=f"Without PLACE: folder to write.  [default: {PAPERS}]")
@json_option
def export(what: str | None, name: str | None, out: Path | None, as_json: bool) -> None:
    """Copy the final model to PLACE, with manifest, model card and the files to serve it elsewhere.

    PLACE is a folder (written with a slash, as in ./models), s3://bucket/prefix, gs://bucket/prefix or az://container/prefix. What was
    cut goes on where it was. SHA256SUMS is there when all of it was read back and is equal.

    Without PLACE, copy the answers, reports and finished outputs of SESSION (models left out) to a folder.
    """
    is_place = what is not None and (name is not None or re.fullmatch(r"\w[\w.-]*", what) is None)
    if what is not None and is_place:
        if out is not None:
            raise UsageError("--out names the folder for a session's papers; give either PLACE or --out")
        _export_model(what, name, as_json)
        return
    if what is not None and not (home() / what).is_dir():
        raise UsageError(f"{what} is no session (`calmtune sessions` lists them); for a folder of that name write ./{what}")
    _export_papers(what or name, out or PAPERS, as_json)


def _export_model(place: str, name: str | None, as_json: bool) -> None:
    from dataclasses import asdict

    from core.serving.export.open_store import open_store
    from core.serving.export.place import parse_place
    from core.wizard.exporting import final_of, progress
    from tui import output
    from tui.headless import Narrator

    parsed = parse_place(place)
    session = existing_session(name)
    try:
        taken = final_of(session)
    finally:
        session.close()  # others may use it while the model travels
    store = open_store(parsed)
    narrate(f"exporting the model of session {session.id} to {store.place}")
    taken.model.verify()
    narrator = Narrator()
    try:
        done = taken.export(store, lambda *told: narrator.on_event("", progress(*told)))
    except KeyboardInterrupt:
        narrate("stopped; the same command goes on from here")
        sys.exit(CANCELLED)
    narrate(f"{done.files} files, {done.bytes / 1e6:,.1f} MB, read back and equal; {done.sent_bytes / 1e6:,.1f} MB had to be sent")
    if as_json:
        output.as_json({"session": session.id, **asdict(done)})
    else:
        output.data(done.place)


def _export_papers(name: str | None, out: Path, as_json: bool) -> None:
    import shutil

    from tui import output

    session = existing_session(name)
    try:
        if out.exists():
            raise UsageError(f"{out} exists already; name another folder with --out")
        with output.writing(out):
            out.mkdir(parents=True)
        if (session.folder / "answers.yml").exists():
            shutil.copyfile(session.folder / "answers.yml", out / "answers.yml")
        for report in sorted(session.folder.glob("report.*")):
            shutil.copyfile(report, out / report.name)
        for status in session.statuses():
            if status.folder is not None and status.outputs is not None:
                leave = shutil.ignore_patterns("model", "adapter", "*.safetensors")
                shutil.copytree(status.folder, out / status.step, ignore=leave)
        narrate(f"wrote {out}")
        if as_json:
            output.as_json({"session": session.id, "folder": str(out)})
    finally:
        session.close()
