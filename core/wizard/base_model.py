"""The base model where a step needs it: on this machine, or on another one, where it is found or downloaded by a job."""

from __future__ import annotations

import asyncio
import os
import tempfile
from dataclasses import replace
from pathlib import Path

from core.errors import ProviderError, UsageError
from core.training import base_model
from core.training.base_finder import PlacedBase, resolve_here
from core.training.base_model import DEMO_MODEL
from core.training.hub_access import access
from core.wizard.events import Log
from core.wizard.jobs import log_lines
from core.wizard.step import Context
from provisioning.job import Job, Resources
from provisioning.place_names import LOCAL
from provisioning.python import python_command


async def place_base(
    context: Context,
    name: str,
    machine: str,
    python: str,
    requirements: Path,
    limit_seconds: float,
    *,
    need: Resources,
    purpose: str = "base",
    like: Path | None = None,
) -> PlacedBase:
    """Find a base model on a machine, so that it is not sent without need; a folder of this machine is sent.

    `python` and `requirements` as in `python_command`; `need` is what the machine will be used for; `purpose` names the job that looks;
    `like` is the base_model.json of an adapter, whose weights the model must have. Raises UsageError for a folder without
    weights and for a model that may not be downloaded, ProviderError or StepFailed when it cannot be had or has other weights.
    """
    context.emit(Log(f"looking for the base model {name}"))
    if machine == LOCAL:
        return PlacedBase(str(await resolve_here(name, python, like)))
    folder = Path(name).expanduser()
    if folder.is_dir():
        if not any(folder.glob("*.safetensors")):
            raise UsageError(f"{folder} holds no *.safetensors; give a model saved by transformers")
        if like is not None:
            await resolve_here(name, like=like)
        return PlacedBase("base", {"base": folder})
    await _require_access(name, context)
    told = ("", like.name) if like is not None else ()  # the cache is that of the machine
    start = python_command(machine, python, requirements, "python", "base_model.py", name, *told)
    token = {"HF_TOKEN": os.environ["HF_TOKEN"]} if "HF_TOKEN" in os.environ else {}
    job = Job(
        purpose,
        start.command,
        files={
            **start.files,
            "base_model.py": Path(base_model.__file__),
            **({like.name: like} if like is not None else {}),
        },
        secrets=token,
        resources=replace(need, gpus=0),
        limit_seconds=limit_seconds,
    )

    await context.jobs.prepare(need, machine, lambda line: context.emit(Log(line)))
    found = await context.jobs.run(job, log_lines(context.emit), machine)
    with tempfile.TemporaryDirectory() as scratch:
        await context.jobs.fetch(found, ["log.txt"], Path(scratch))
        said = (Path(scratch) / "log.txt").read_text(encoding="utf-8", errors="replace").strip().splitlines()
    if not said:
        raise ProviderError(f"{machine} does not say where the base model {name} is; run again")
    return PlacedBase(said[-1])


async def _require_access(name: str, context: Context) -> None:
    """Ask the hub before another machine is put to work. Raises UsageError for a model that may not be downloaded."""
    if name == DEMO_MODEL:  # open to everybody, and there without the hub
        return
    found = await asyncio.to_thread(access, name)
    if found.state in ("refused", "missing"):
        raise UsageError(found.sentence)
    context.emit(Log(found.sentence))
