"""A finished session of the demo, kept without weights, so that pictures of it can be made anywhere: `demo.tar.xz`.

    python screenshots/kept.py .calmtune/sessions/demo       keeps that session (`make demo` first)
"""

from __future__ import annotations

import io
import os
import sqlite3
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from core.demo import answers
from core.wizard.session import Session
from provisioning.job import Job
from provisioning.place_names import LOCAL

ARCHIVE = Path(__file__).with_name("demo.tar.xz")
LEFT_OUT = (".safetensors", ".pyz", ".pt", ".sqlite", ".lock", "tokenizer.json", "combined_train_val.jsonl", "-wal", "-shm")
HERE = "/…"
"""Stands in the kept files where the folder of sessions was."""


def keep(session: Path) -> None:
    """Write the archive. Text keeps no path of the machine it came from."""
    session = session.resolve()
    with tarfile.open(ARCHIVE, "w:xz", preset=9) as archive, tempfile.TemporaryDirectory() as scratch:
        for file in sorted(session.rglob("*")):
            name = file.relative_to(session).as_posix()
            if not file.is_file() or name.endswith(LEFT_OUT) or name.startswith("jobs/") or "__pycache__" in name:
                continue
            content = _database(file, Path(scratch), session) if name == "session.db" else file.read_bytes()
            if b"\0" not in content:
                content = content.replace(str(session.parent).encode(), HERE.encode())
            entry = tarfile.TarInfo(f"demo/{name}")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))


def _database(file: Path, scratch: Path, session: Path) -> bytes:
    copy = scratch / "session.db"
    with sqlite3.connect(file) as source, sqlite3.connect(copy) as target:
        source.backup(target)
        for table, column in (("answer", "body"), ("run", "inputs"), ("run", "outputs"), ("event", "body")):
            target.execute(f"UPDATE {table} SET {column} = replace({column}, ?, ?)", (str(session.parent), HERE))
        target.execute("DELETE FROM lease")
        target.commit()
        target.execute("VACUUM")
    source.close()
    target.close()
    return copy.read_bytes()


@contextmanager
def unpacked(home: Path) -> Iterator[Path]:
    """The session below `home`, pointed at the sample assistant that came with it; a process that does nothing has the name of its model
    server, without which the deployment would be stale."""
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(home, filter="data")
    session = Session.open(home / "demo")
    for section, given in answers(session.folder / "sample").items():
        session.answer(section, given)
    here = session.targets[LOCAL]
    serving = [here.submit(Job(job.name, ("sleep", "3600"))) for job in session.journal.jobs() if job.state == "launched"]
    session.close()
    try:
        yield session.folder
    finally:
        for job in serving:
            here.cancel(job)


if __name__ == "__main__":
    keep(Path(sys.argv[1]))
    print(f"{ARCHIVE.name}: {os.path.getsize(ARCHIVE) / 1e6:.1f} MB")
