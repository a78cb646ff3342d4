"""Checkpoints to go on from after a stop or a kill at any moment: whole ones only, with what the trainer's own state leaves out.

The trainer writes a checkpoint file by file and would remove the one before at once. Here a checkpoint counts when complete.json stands in
it, written last and flushed to the disk; only then are the others removed.
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

from checkpoints import FOLDER
from report import emit, leads, log, processes
from transformers import TrainerCallback

MARK = "complete.json"
"""files: bytes of each file of the checkpoint by its name; archive: SHA-256 of what was run; unlogged: loss summed since the last
log, and of how many steps; plain_tokens, unique_tokens: tokens so far, of one process."""


class Finished(Exception):
    """The checkpoint is that of the last step; the trainer would go on beyond it."""


class Checkpoints(TrainerCallback):
    """Marks each checkpoint when all of it is on the disk, and gives a resumed run back what it had counted."""

    def __init__(self, trainer: Any, archive: str, folder: Path = FOLDER) -> None:
        """`archive` is the SHA-256 of what is run."""
        self._trainer, self._archive, self._folder = trainer, archive, folder

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        place = self._place(state.global_step)
        if leads():
            self._remove_all_but(place)
        if state.global_step == 0:
            return
        kept = json.loads((place / MARK).read_text(encoding="utf-8"))
        if kept["archive"] != self._archive:
            log(f"the checkpoint is of the training archive {kept['archive']}; this one has another program, settings, plan or rows")
        loss, steps = kept["unlogged"]
        self._trainer._tr_loss += loss
        self._trainer._globalstep_last_logged -= steps
        self._trainer.plain_tokens, self._trainer.unique_tokens = kept["plain_tokens"], kept["unique_tokens"]

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step >= state.max_steps:
            raise Finished

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        # No process comes out of this before all have written their part of the checkpoint.
        loss = self._trainer.accelerator.gather(self._trainer._tr_loss).mean().item()
        if not leads():
            return
        place = self._place(state.global_step)
        counted = {
            "archive": self._archive,
            "unlogged": [loss, state.global_step - self._trainer._globalstep_last_logged],
            "plain_tokens": self._trainer.plain_tokens,
            "unique_tokens": self._trainer.unique_tokens,
        }
        _mark(place, counted)
        self._remove_all_but(place)
        emit("checkpoint", step=state.global_step)

    def _place(self, step: int) -> Path:
        return self._folder / f"checkpoint-{step}"

    def _remove_all_but(self, place: Path) -> None:
        for other in self._folder.glob("checkpoint-*"):
            if other != place:
                (other / MARK).unlink(missing_ok=True)  # first, so that a half-removed one does not count
                shutil.rmtree(other, ignore_errors=True)


def last_checkpoint(folder: Path = FOLDER) -> str | None:
    """The newest whole checkpoint; None without one. Says of others why they are left aside."""
    for path in sorted(folder.glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]), reverse=True):
        lacking = _lacking(path)
        if lacking is None:
            return str(path)
        log(f"{path} is left aside: it was not written to its end or was changed ({lacking})")
    return None


def end_with_parent() -> None:
    """Processes of torchrun have sessions of their own: without it they would go on when the job is killed (Linux: prctl(2))."""
    if processes() > 1 and sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def _lacking(place: Path) -> str | None:
    """The first file that is not what the mark says; None when the checkpoint is whole."""
    if not (place / MARK).is_file():
        return f"no {MARK}"
    files: dict[str, int] = json.loads((place / MARK).read_text(encoding="utf-8"))["files"]
    for name, size in files.items():
        if not (place / name).is_file() or (place / name).stat().st_size != size:
            return name
    return None


def _mark(place: Path, counted: dict[str, Any]) -> None:
    files = {}
    for path in sorted(path for path in place.rglob("*") if path.is_file()):
        _flush(path)
        files[path.relative_to(place).as_posix()] = path.stat().st_size
    partial = place / f".{MARK}"
    partial.write_text(json.dumps({"files": files, **counted}), encoding="utf-8")
    _flush(partial)
    os.replace(partial, place / MARK)
    for folder in (place, place.parent):
        _flush(folder)


def _flush(path: Path) -> None:
    """Have a file or folder on the disk, not only in memory."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
