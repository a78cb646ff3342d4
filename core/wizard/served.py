"""A model server as a job of a step, on this machine or another, reached through loopback."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from core.errors import CalmtuneError, StepFailed
from core.llm.client import Endpoint
from core.serving.adapter import adapter_in
from core.serving.elsewhere import engine_elsewhere, plan_elsewhere, requirements_of
from core.serving.gpu_memory import AT_ONCE
from core.serving.server import Engine, ServerPlan, plan_server, wait_until_ready
from core.training.base_finder import PlacedBase, resolve_here
from core.wizard.base_model import place_base
from core.wizard.events import Log, Notice
from core.wizard.jobs import Launched
from core.wizard.needs import need_of, need_to_serve
from core.wizard.purposes import SERVER
from core.wizard.step import Context
from provisioning.job import Job, Resources
from provisioning.place_names import LOCAL
from provisioning.target import Target

EVALUATION_SECONDS = 24 * 3600.0


@dataclass(frozen=True)
class ServerRequest:
    """Which model, whole or an adapter, is served where."""

    model: Path
    place: str = LOCAL
    engine: Engine = "auto"
    served_name: str = "calmtune"
    python: str = ""
    port: int = 0
    """On the machine; 0 takes a free one."""
    key: str | None = None
    limit_seconds: float = EVALUATION_SECONDS
    longest_row: int = 0
    """Tokens of the longest row it learnt from, as its manifest says; 0 where it does not."""
    requests: int = AT_ONCE
    """Of full length, for which a rented machine has room at once."""


@asynccontextmanager
async def served(context: Context, request: ServerRequest) -> AsyncIterator[Endpoint]:
    """A server for as long as the block lasts; its log is left as server.log in the step's folder.

    Raises StepFailed when it does not start, ProviderError when it does not become ready in time.
    """
    plan = await make_plan(context, request)
    job = await launch_server(context, request, plan)
    try:
        with contextlib.ExitStack() as tunnel:
            address = await asyncio.to_thread(tunnel.enter_context, job.target.expose(job.id, port_of(plan)))
            endpoint = replace(plan.endpoint, base_url=f"{address}/v1")
            await until_ready(endpoint, job)
            yield endpoint
    finally:
        await context.jobs.stop(SERVER)
        await _keep_log(context, job)


async def make_plan(context: Context, request: ServerRequest) -> ServerPlan:
    """How the model will be served, an adapter on its base model, which is found or downloaded there.

    Raises StepFailed when nothing can serve it there, and what looking for a base model raises.
    """
    adapter = adapter_in(request.model)
    base: PlacedBase | None = None
    target = context.jobs.target(request.place)
    if request.place != LOCAL:
        need, why = _need(target, request)
        if why:
            context.emit(Log(f"{need.wanted} to rent; {why}"))
        await context.jobs.prepare(need, request.place, lambda line: context.emit(Log(line)))
        facts = await asyncio.to_thread(target.facts)
        port = request.port or await asyncio.to_thread(target.free_port)
        if adapter is not None:
            requirements = requirements_of(engine_elsewhere(request.engine, facts))
            base = await place_base(
                context, adapter.base, request.place, request.python, requirements, request.limit_seconds, need=need,
                purpose=f"{SERVER}-base", like=adapter.like,
            )  # fmt: skip
        plan = plan_elsewhere(
            request.place,
            facts,
            port,
            request.model,
            request.served_name,
            request.engine,
            request.python,
            request.key,
            base,
            request.longest_row,
        )
        if plan.engine == "transformers":
            context.emit(
                Notice("warning", f"this server has no key: whoever has an account on {target.name} can use it")
            )
    else:
        folder = str(await resolve_here(adapter.base, request.python, adapter.like)) if adapter is not None else ""
        plan = plan_server(
            request.model,
            request.served_name,
            request.engine,
            request.port,
            request.python,
            request.key,
            folder,
            request.longest_row,
        )
    context.emit(Log(f"serving with {plan.engine} on {target.name}: {plan.reason}"))
    return plan


async def launch_server(context: Context, request: ServerRequest, plan: ServerPlan) -> Launched:
    """Launch the planned server as the step's job; one that an interrupted run left there is ended, as its key is not known."""
    await context.jobs.stop(SERVER)
    resources = need_of(plan.gpus)
    if plan.gpus:
        need, _ = _need(context.jobs.target(request.place), request)
        resources = replace(resources, gpu_counts=need.gpu_counts)
    job = Job(
        SERVER,
        plan.command,
        files=plan.files,
        environment=plan.environment,
        secrets=plan.secrets,
        resources=resources,
        limit_seconds=request.limit_seconds,
    )
    return await context.jobs.launch(job, request.place)


def _need(target: Target, request: ServerRequest) -> tuple[Resources, str]:
    return need_to_serve(target, request.model, request.longest_row, request.requests, request.engine)


def foretell_server(context: Context, request: ServerRequest) -> str:
    """Which GPUs would be rented for a server, and why, in words; "" where none would. Asks no machine."""
    try:
        need, why = _need(context.jobs.target(request.place), request)
    except StepFailed as error:
        return str(error)
    return f"{need.wanted} to rent; {why}" if why else ""


async def until_ready(endpoint: Endpoint, job: Launched) -> None:
    """Wait until the server answers. Raises StepFailed with its last words when it ended instead."""

    def ended() -> str | None:
        status = job.target.status(job.id)
        return None if status.state == "running" else status.detail or status.state

    await wait_until_ready(endpoint, ended)


def port_of(plan: ServerPlan) -> int:
    """The port on the machine."""
    return int((plan.endpoint.base_url or "").removesuffix("/v1").rpartition(":")[2])


async def _keep_log(context: Context, job: Launched) -> None:
    with contextlib.suppress(CalmtuneError):  # what the server said is of use, not of need
        await context.jobs.fetch(job, ["log.txt"], context.folder)
        (context.folder / "log.txt").replace(context.folder / "server.log")
