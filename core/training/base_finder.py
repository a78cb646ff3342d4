"""Finding a base model on this machine through a child process, so that nothing heavy is imported here."""

from __future__ import annotations

import asyncio
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path

from core.errors import ProviderError, StepFailed
from core.training import base_model
from core.training.base_model import cache_folder


@dataclass(frozen=True)
class PlacedBase:
    """A base model as a job sees it."""

    folder: str
    """Where the job finds it, absolute or in the job's folder."""
    files: dict[str, Path] = field(default_factory=dict)
    """What must be sent there for that."""


async def resolve_here(name: str, python: str = "", like: Path | None = None) -> Path:
    """The base model's folder on this machine, downloaded if need be; `python` is the interpreter that looks (default: this one),
    `like` the base_model.json of an adapter, whose weights it must have.

    Raises StepFailed when there is no such interpreter, ProviderError when the model cannot be had or has other weights.
    """
    python = python or sys.executable
    if shutil.which(python) is None:
        raise StepFailed(f"there is no Python at {python}")
    child = await asyncio.create_subprocess_exec(
        python,
        base_model.__file__,
        name,
        str(cache_folder()),
        *([str(like)] if like is not None else []),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await child.communicate()
    if child.returncode:
        reason = err.decode(errors="replace").strip().splitlines()
        raise ProviderError(reason[-1] if reason else f"the base model {name} cannot be had")
    return Path(out.decode().strip().splitlines()[-1]).absolute()  # jobs run in folders of their own
