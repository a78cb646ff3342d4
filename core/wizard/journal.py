"""The memory of a session: a SQLite file that survives a kill at any moment.

Facts only (answers given, runs begun and ended, jobs launched); every status is derived from them in `session.py`.
"""

from __future__ import annotations

import json
import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.errors import StepFailed, UsageError

_MIGRATIONS = (
    """
    CREATE TABLE answer (step TEXT PRIMARY KEY, body TEXT NOT NULL);
    CREATE TABLE run (
      step TEXT NOT NULL, key TEXT NOT NULL, inputs TEXT NOT NULL, state TEXT NOT NULL, outputs TEXT, error TEXT,
      began REAL NOT NULL, ended REAL, PRIMARY KEY (step, key)
    );
    CREATE TABLE job (
      name TEXT PRIMARY KEY, step TEXT NOT NULL, key TEXT NOT NULL, target TEXT NOT NULL, id TEXT, state TEXT NOT NULL
    );
    CREATE TABLE event (at REAL NOT NULL, step TEXT NOT NULL, kind TEXT NOT NULL, body TEXT NOT NULL);
    CREATE TABLE lease (only INTEGER PRIMARY KEY CHECK (only = 1), holder TEXT NOT NULL, heartbeat REAL NOT NULL);
    """,
)


class DamagedError(UsageError):
    """A database that SQLite cannot read."""


@dataclass(frozen=True)
class Run:
    """One run of a step under one key."""

    step: str
    key: str
    inputs: Mapping[str, Any]
    state: str
    """begun, done or failed."""
    outputs: Mapping[str, Any] | None
    error: str | None
    began: float
    ended: float | None


@dataclass(frozen=True)
class JobRecord:
    """A job as it was last known here."""

    name: str
    step: str
    key: str
    target: str
    id: str | None
    """None between the decision to launch and the provider's answer."""
    state: str
    """launching, launched, or how it ended."""


class Journal:
    """Reads and writes one session's database. Each method is one durable transaction; safe from several threads."""

    def __init__(self, path: Path) -> None:
        """Raises UsageError for a database of a newer version, DamagedError for one that cannot be read."""
        self.path = path
        self._lock = threading.RLock()
        try:
            self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute("PRAGMA synchronous=FULL")
            self._migrate()
            (checked,) = self._connection.execute("PRAGMA quick_check(1)").fetchone()
        except sqlite3.OperationalError as error:
            raise UsageError(f"{path} cannot be opened: {error}") from error
        except sqlite3.DatabaseError as error:
            raise DamagedError(f"{path} cannot be read as a session: {error}") from error
        if checked != "ok":
            self._connection.close()
            raise DamagedError(f"{path} cannot be read as a session: {checked}")

    def _migrate(self) -> None:
        (version,) = self._connection.execute("PRAGMA user_version").fetchone()
        if version > len(_MIGRATIONS):
            raise UsageError(
                f"{self.path} was written by a newer calmtune (format {version}); upgrade calmtune to open it"
            )
        for number, script in enumerate(_MIGRATIONS[version:], version + 1):
            self._connection.executescript(f"BEGIN; {script} PRAGMA user_version = {number}; COMMIT;")

    def _write(self, statement: str, *values: Any) -> None:
        with self._access():
            self._connection.execute(statement, values)
        _crash_here_if_asked()

    def _rows(self, statement: str, *values: Any) -> list[Any]:
        with self._access():
            return self._connection.execute(statement, values).fetchall()

    @contextmanager
    def _access(self) -> Iterator[None]:
        """One thread at a time. Raises StepFailed when the disk is full or another program keeps the file locked."""
        try:
            with self._lock:
                yield
        except sqlite3.OperationalError as error:
            raise StepFailed(
                f"{self.path} cannot be used ({error}); what was finished is kept, run again when it can"
            ) from error

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    # Answers

    def answers(self) -> dict[str, dict[str, Any]]:
        """Answers by step id; the session's own under "session"."""
        return {step: json.loads(body) for step, body in self._rows("SELECT step, body FROM answer")}

    def set_answers(self, step: str, body: Mapping[str, Any]) -> None:
        self._write("INSERT OR REPLACE INTO answer VALUES (?, ?)", step, json.dumps(body, sort_keys=True, default=str))

    # Runs

    def begin_run(self, step: str, key: str, inputs: Mapping[str, Any]) -> None:
        self._write(
            "INSERT OR REPLACE INTO run VALUES (?, ?, ?, 'begun', NULL, NULL, ?, NULL)",
            step,
            key,
            json.dumps(inputs, sort_keys=True, default=str),
            time.time(),
        )

    def finish_run(self, step: str, key: str, outputs: Mapping[str, Any]) -> None:
        self._write(
            "UPDATE run SET state = 'done', outputs = ?, error = NULL, ended = ? WHERE step = ? AND key = ?",
            json.dumps(outputs, default=str),
            time.time(),
            step,
            key,
        )

    def fail_run(self, step: str, key: str, error: str) -> None:
        self._write(
            "UPDATE run SET state = 'failed', error = ?, ended = ? WHERE step = ? AND key = ?",
            error,
            time.time(),
            step,
            key,
        )

    def forget_run(self, step: str, key: str) -> None:
        self._write("DELETE FROM run WHERE step = ? AND key = ?", step, key)

    def runs(self, step: str | None = None) -> list[Run]:
        """Runs, the latest first."""
        rows = self._rows("SELECT * FROM run WHERE ? IS NULL OR step = ? ORDER BY began DESC", step, step)
        return [
            Run(id, key, json.loads(inputs), state, json.loads(outputs) if outputs else None, error, began, ended)
            for id, key, inputs, state, outputs, error, began, ended in rows
        ]

    def run(self, step: str, key: str) -> Run | None:
        return next((run for run in self.runs(step) if run.key == key), None)

    # Jobs

    def launching(self, name: str, step: str, key: str, target: str) -> None:
        """Written before a target is asked to launch."""
        self._write("INSERT OR REPLACE INTO job VALUES (?, ?, ?, ?, NULL, 'launching')", name, step, key, target)

    def launched(self, name: str, id: str) -> None:
        self._write("UPDATE job SET id = ?, state = 'launched' WHERE name = ?", id, name)

    def job_ended(self, name: str, state: str) -> None:
        self._write("UPDATE job SET state = ? WHERE name = ?", state, name)

    def jobs(self) -> list[JobRecord]:
        return [JobRecord(*row) for row in self._rows("SELECT name, step, key, target, id, state FROM job")]

    # Events

    def add_event(self, step: str, kind: str, body: Mapping[str, Any]) -> None:
        self._write("INSERT INTO event VALUES (?, ?, ?, ?)", time.time(), step, kind, json.dumps(body, default=str))

    def events(self, kind: str | None = None) -> list[tuple[float, str, str, dict[str, Any]]]:
        """(time, step, kind, body), oldest first."""
        rows = self._rows("SELECT * FROM event WHERE ? IS NULL OR kind = ? ORDER BY rowid", kind, kind)
        return [(at, step, kind, json.loads(body)) for at, step, kind, body in rows]

    # Lease

    def take_lease(self, holder: str, is_dead: Any) -> str | None:
        """Become the holder. Returns the dead holder that was replaced, "" when there was none, None when another one lives."""
        with self._access():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                row = self._connection.execute("SELECT holder FROM lease").fetchone()
                if row and row[0] != holder and not is_dead(row[0]):
                    return None
                self._connection.execute("INSERT OR REPLACE INTO lease VALUES (1, ?, ?)", (holder, time.time()))
                return row[0] if row and row[0] != holder else ""
            finally:
                self._connection.execute("COMMIT")

    def drop_lease(self, holder: str) -> None:
        self._write("DELETE FROM lease WHERE holder = ?", holder)


_writes_until_crash = int(os.environ.get("CALMTUNE_CRASH_AFTER_WRITES", "0"))


def _crash_here_if_asked() -> None:
    """Fault injection for tests: die as by `kill -9` right after the n-th write."""
    global _writes_until_crash
    if _writes_until_crash:
        _writes_until_crash -= 1
        if not _writes_until_crash:
            os.kill(os.getpid(), 9)
