"""A session whose database was damaged, made again from the files beside it."""

from __future__ import annotations

import json
import os
from pathlib import Path

from core.errors import CalmtuneError
from core.wizard.answers_file import read_answers
from core.wizard.journal import DamagedError, Journal

RUN = "run.json"
"""In a run's folder: step, key and inputs of the run."""


def rebuild(folder: Path) -> str:
    """Put what is left of a session's database aside and begin a new one with the answers and finished runs that are on disk.

    Returns what was found, as a sentence. Jobs need no record here: they are found again by their names.
    """
    aside = _put_aside(folder)
    journal = Journal(folder / "session.db")
    try:
        answers = _answers(folder, journal)
        runs = sum(_run(path, journal) for path in sorted((folder / "runs").glob(f"*/{RUN}")))
    finally:
        journal.close()
    was = f"session.db was damaged and is kept as {aside}" if aside else "session.db was gone"
    return f"{was}; {answers} and {runs} runs were read back from the files beside it"


def refuse_empty(folder: Path) -> None:
    """Raises DamagedError for a database that is gone, or that a crash left empty: SQLite would begin a new one, and forget the session."""
    database = folder / "session.db"
    if (folder / "answers.yml").is_file() and not (database.is_file() and database.stat().st_size):
        raise DamagedError(f"{database} is gone or empty")


def _put_aside(folder: Path) -> str:
    """Name of what was put aside; "" where the database was gone."""
    was_there = (folder / "session.db").exists()
    names = (f"session.db.damaged{number or ''}" for number in range(1000))
    aside = next(name for name in names if not (folder / name).exists())
    for suffix in ("", "-wal", "-shm"):
        if (folder / f"session.db{suffix}").exists():
            os.replace(folder / f"session.db{suffix}", folder / f"{aside}{suffix}")
    return aside if was_there else ""


def _answers(folder: Path, journal: Journal) -> str:
    try:
        answers = read_answers(folder / "answers.yml", strict=False)
    except CalmtuneError:
        return "no answers"
    for section, given in answers.items():
        journal.set_answers(section, given)
    return "the answers"


def _run(path: Path, journal: Journal) -> bool:
    """Take over one run as begun; opening the session finishes it when its outputs are there."""
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
        journal.begin_run(body["step"], body["key"], body["inputs"])
    except (ValueError, KeyError, TypeError):
        return False
    return True
