"""Completions on disk, found by what was asked: the same request is paid once."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from core.llm.client import Completion


class CompletionCache:
    """A SQLite file; each completion is durable once `put` returns."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute(
            "CREATE TABLE IF NOT EXISTS completion "
            "(key TEXT PRIMARY KEY, text TEXT, prompt_tokens INT, completion_tokens INT, seconds REAL)"
        )

    def get(self, request: dict[str, Any]) -> Completion | None:
        from core.llm.client import Completion

        with self._lock:
            row = self._connection.execute(
                "SELECT text, prompt_tokens, completion_tokens, seconds FROM completion WHERE key = ?",
                (key_of(request),),
            ).fetchone()
        return Completion(*row) if row else None

    def put(self, request: dict[str, Any], completion: Completion) -> None:
        row = (
            key_of(request),
            completion.text,
            completion.prompt_tokens,
            completion.completion_tokens,
            completion.seconds,
        )
        with self._lock:
            self._connection.execute("INSERT OR REPLACE INTO completion VALUES (?, ?, ?, ?, ?)", row)

    def close(self) -> None:
        self._connection.close()


def key_of(request: dict[str, Any]) -> str:
    """What a completion is found by: the same for the same request."""
    return hashlib.sha256(json.dumps(request, sort_keys=True, ensure_ascii=False).encode()).hexdigest()
