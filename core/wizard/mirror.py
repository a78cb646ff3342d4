"""What a job on a machine that may vanish has left so far, kept here, so that another machine can go on with it."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path
from typing import Any

from core.errors import CalmtuneError
from provisioning.target import Target

CHECKPOINTS, EVENTS = "checkpoints", "events.jsonl"


class Mirror:
    """Hears a job's event stream from its beginning on, and fetches its checkpoints when it says that one is whole."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._fetching: threading.Thread | None = None

    @property
    def files(self) -> dict[str, Path]:
        """What to send with the job: path in the job's folder → file or folder here; nothing before the first checkpoint."""
        if not (self._folder / CHECKPOINTS).is_dir():
            return {}
        return {name: self._folder / name for name in (CHECKPOINTS, EVENTS) if (self._folder / name).exists()}

    @property
    def stream(self) -> bytes:
        """What of the event stream is sent along; the stream of the next machine begins with it."""
        kept = self.files.get(EVENTS)
        return kept.read_bytes() if kept is not None else b""

    def begin(self) -> None:
        """The stream is heard from its beginning."""
        self._folder.mkdir(parents=True, exist_ok=True)
        (self._folder / f".{EVENTS}").unlink(missing_ok=True)

    def hear(self, data: bytes) -> None:
        """Whole lines of the stream."""
        with (self._folder / f".{EVENTS}").open("ab") as file:
            file.write(data)

    def on_event(self, event: dict[str, Any], target: Target, id: str) -> None:
        """Fetch in the background what a whole checkpoint is made of; while one is fetched, the next is let pass."""
        if event.get("type") == "checkpoint" and not (self._fetching and self._fetching.is_alive()):
            self._fetching = threading.Thread(target=self._fetch, args=(target, id), daemon=True)
            self._fetching.start()

    def _fetch(self, target: Target, id: str) -> None:
        told = (self._folder / f".{EVENTS}").read_bytes()
        new = self._folder / ".new"
        shutil.rmtree(new, ignore_errors=True)
        try:
            target.fetch(id, [CHECKPOINTS], new)
        except (CalmtuneError, OSError):
            return  # it is just being replaced by the next one, or the machine is gone: the one before is kept
        shutil.rmtree(self._folder / CHECKPOINTS, ignore_errors=True)
        (new / CHECKPOINTS).rename(self._folder / CHECKPOINTS)
        (self._folder / EVENTS).write_bytes(told)

    def settle(self) -> None:
        """Wait for what is being fetched; before `files` or `drop`."""
        if self._fetching is not None:
            self._fetching.join()

    def drop(self) -> None:
        """The job has succeeded."""
        shutil.rmtree(self._folder, ignore_errors=True)
