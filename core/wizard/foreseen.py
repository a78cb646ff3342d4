"""What a step would write, as a diff, before it is run."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from core.errors import UsageError
from core.serving.connect import patch
from core.serving.manifests.folder import FOLDER, PURPOSES, write_files
from core.serving.proxy.archive import ARCHIVE
from core.wizard.answers import SESSION
from core.wizard.exporting import final_model
from core.wizard.session import Session
from core.wizard.step import Upstream
from core.wizard.work.connection import connection_of
from core.wizard.work.deployment import described


@dataclass(frozen=True)
class Writes:
    """Files a step would write."""

    where: str
    """Of which folder, in words."""
    diffs: dict[str, str]
    """Name → unified diff to what is there now; only files that change."""
    purposes: dict[str, str]
    """Name → what it is for, where that is known."""


def foreseen(session: Session, step: str, given: dict[str, object]) -> Writes:
    """What a step with the answers `given` would write. Changes nothing.

    Raises UsageError while a step above is not done, and what reading the assistant raises.
    """
    answers = session.model(step, {**session.answers, step: given})
    if step == "deployment":
        model = final_model(_above(session, "production"))
        before = session.journal.runs("deployment")
        old = next((folder for run in before if (folder := session.folder / "runs" / f"deployment-{run.key[:12]}" / FOLDER).is_dir()), None)
        with TemporaryDirectory() as scratch:
            write_files(described(answers, model), Path(scratch), answers.requests_per_minute)
            written = [path for path in sorted(Path(scratch).rglob("*")) if path.is_file() and path.name != ARCHIVE]
            texts = {path.relative_to(scratch).as_posix(): path.read_text(encoding="utf-8") for path in written}
        diffs = {name: difference(name, _text(old / name) if old else "", text) for name, text in texts.items()}
        purposes = {name: PURPOSES.get(name) or PURPOSES[f"{name.partition('/')[0]}/"] for name in diffs}
        return Writes(f"{FOLDER}/ of the session", {name: diff for name, diff in diffs.items() if diff}, purposes)
    shared = session.model(SESSION)
    change = patch(shared.assistant, connection_of(shared, _above(session, "dataset"), _above(session, "deployment")))
    diffs = {name: difference(name, _text(shared.assistant / name), text) for name, text in change.texts.items()}
    where = f"{shared.assistant} itself, with a backup" if answers.in_place else f"a copy of {shared.assistant} in the session"
    return Writes(where, diffs, {})


def difference(name: str, old: str, new: str) -> str:
    """A unified diff; "" where nothing changes."""
    return "".join(difflib.unified_diff(old.splitlines(True), new.splitlines(True), f"a/{name}", f"b/{name}"))


def _above(session: Session, step: str) -> Upstream:
    status = session.status(step)
    if status.outputs is None or status.folder is None:
        raise UsageError(f"what will be written is known when {step} is done; it is {status.state}")
    return Upstream(status.outputs, status.folder)


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""
