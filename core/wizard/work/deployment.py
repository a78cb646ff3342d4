"""A model server that outlives the wizard, and files to serve the model elsewhere."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from core.errors import CalmtuneError, UsageError
from core.llm.client import Endpoint
from core.serving.connect import KEY_VARIABLE
from core.serving.export.copying import Exported
from core.serving.export.open_store import open_store
from core.serving.export.place import parse_place
from core.serving.export.store import Store
from core.serving.manifests.folder import FOLDER, write_files
from core.serving.manifests.served import Served, describe
from core.serving.server import ServerPlan
from core.training.bundle import ModelArtifact
from core.wizard import served
from core.wizard.events import Log, Notice
from core.wizard.exporting import TakenAway, export_in_step, final_model
from core.wizard.jobs import Launched
from core.wizard.published import Publication, free_address, look_from_outside, publish, read_publication
from core.wizard.purposes import PROXY, SERVER, SERVICE, TUNNEL
from core.wizard.served import ServerRequest, launch_server, make_plan, port_of, until_ready
from core.wizard.service import bring_up, read_terms
from core.wizard.step import Context, Gate, Outputs
from core.wizard.steps.deployment import DeploymentAnswers
from provisioning import tunnel
from provisioning.job import Job
from provisioning.place_names import LOCAL, SKYSERVE


@dataclass(frozen=True)
class _Up:
    """A server that answers."""

    summary: dict[str, Any]
    """With its address as "endpoint"."""
    gates: Sequence[Gate]
    files: Mapping[str, str]
    """To serve the model elsewhere: name → file in FOLDER."""
    jobs: dict[str, str]
    """As in Outputs."""
    checked: str
    """Which files were compared with their checksums, and when."""


async def run(context: Context) -> Outputs:
    """Serve the model here, on another machine or on replicas, and export it where that is wanted."""
    answers: DeploymentAnswers = context.answers
    production = context.upstream["production"]
    store = open_store(parse_place(answers.export_to)) if answers.export_to else None
    artifact = final_model(production)
    up = await (_on_replicas if _by_skyserve(answers) else _on_a_machine)(context, artifact)
    summary = up.summary
    gates = [
        Gate("endpoint healthy", "answers a completion", "it did", True),
        *up.gates,
        Gate("checksums equal", "every file of the model as trained", up.checked, True),
    ]
    if store is not None:
        exported = await _export(context, artifact, store)
        summary["export"] = asdict(exported)
        gates.append(Gate("export verified", "every file read back and equal", f"all {exported.files}", True))
    paths = {name: f"{FOLDER}/{file}" for name, file in up.files.items()}
    return Outputs(summary, paths, gates, f"{production.outputs.digest}:{summary['endpoint']}", up.jobs)


def foretell_server(context: Context) -> str:
    """The GPUs that would be rented to serve the model, in words; "" where none would."""
    answers: DeploymentAnswers = context.answers
    artifact = final_model(context.upstream["production"])
    if not _by_skyserve(answers):
        return served.foretell_server(context, _request(answers, artifact))
    service = described(answers, artifact)
    each = f"{service.flags.gpus} × a GPU of {service.gpu_gb} GB or more"
    return f"{each} to rent for each of {service.replicas} to {service.most} replicas, and a small machine for their balancer"


def _by_skyserve(answers: DeploymentAnswers) -> bool:
    return answers.machine.partition(":")[0] == SKYSERVE


def _request(answers: DeploymentAnswers, artifact: ModelArtifact) -> ServerRequest:
    return ServerRequest(
        artifact.folder,
        answers.machine,
        answers.engine,
        answers.served_name,
        answers.python,
        answers.port if answers.machine == LOCAL else 0,
        os.environ.get(KEY_VARIABLE),
        3600 * answers.hours,
        artifact.longest_row,
    )


def described(answers: DeploymentAnswers, artifact: ModelArtifact) -> Served:
    """What is served, with the replicas that follow the load where SkyServe starts them."""
    follows = (answers.most_replicas, answers.requests_per_second) if _by_skyserve(answers) else ()
    return describe(artifact.folder, answers.served_name, artifact.read_manifest(), answers.replicas, *follows)


async def _on_a_machine(context: Context, artifact: ModelArtifact) -> _Up:
    """One server, here or behind a tunnel, and before it a public proxy where one is wanted."""
    answers: DeploymentAnswers = context.answers
    public = read_publication(
        answers.public_address, answers.tls_certificate, answers.tls_key, answers.allowed_addresses, answers.requests_per_minute
    )  # fmt: skip
    if public is not None:
        await free_address(context, public)
    artifact.verify()
    request = _request(answers, artifact)
    plan = await make_plan(context, request)
    if plan.endpoint.api_key and not os.environ.get(KEY_VARIABLE):
        os.environ[KEY_VARIABLE] = plan.endpoint.api_key  # for the first conversation; it is kept nowhere else
        context.emit(Notice("warning", f"a key was made up for this run; deploy with {KEY_VARIABLE} set to keep one"))
    endpoint, jobs = await _start(context, request, plan)
    files = write_files(described(answers, artifact), context.folder / FOLDER)
    context.emit(Log(f"to serve it elsewhere, in {FOLDER}: {', '.join(files.values())}"))
    address = endpoint.base_url or ""
    summary = {
        "endpoint": address,
        "machine": answers.machine,
        "model": plan.endpoint.model,
        "engine": plan.engine,
        "job": next(iter(jobs)),
        "needs_key": bool(plan.secrets),
    }
    reached = Gate("endpoint private", "loopback only", address, address.startswith("http://127.0.0.1:"))
    if public is not None:
        reached, findings, proxies = await _publish(context, public, endpoint, request.limit_seconds)
        jobs |= proxies
        summary |= {"public": public.url, "findings": findings}
    return _Up(summary, [reached], files, jobs, "all")


async def _on_replicas(context: Context, artifact: ModelArtifact) -> _Up:
    """As many servers as the load takes, behind SkyServe's load balancer."""
    answers: DeploymentAnswers = context.answers
    terms = await asyncio.to_thread(
        read_terms, answers.tls_certificate, answers.tls_key, answers.public_address, answers.allowed_addresses, answers.engine
    )
    if 0 < answers.most_replicas < answers.replicas:
        raise UsageError(f"deployment.most_replicas is {answers.most_replicas}, less than deployment.replicas ({answers.replicas})")
    artifact.verify()
    service = described(answers, artifact)
    files = write_files(service, context.folder / FOLDER, answers.requests_per_minute)
    brought = await bring_up(context, answers.machine, service, terms, context.folder / FOLDER, answers.python)
    if not os.environ.get(KEY_VARIABLE):
        os.environ[KEY_VARIABLE] = terms.key  # for the first conversation
    address = brought.endpoint.base_url or ""
    summary = {
        "endpoint": address,
        "machine": answers.machine,
        "model": brought.endpoint.model,
        "engine": "vllm",
        "job": brought.id,
        "needs_key": True,
        "public": address.removesuffix("/v1"),
        "findings": brought.findings,
    }
    return _Up(summary, brought.gates, files, {brought.id: answers.machine}, "all, before each replica serves")


async def _start(context: Context, request: ServerRequest, plan: ServerPlan) -> tuple[Endpoint, dict[str, str]]:
    """Start the server and what leads to it: the endpoint on this machine's loopback, and the local jobs that keep it reachable."""
    server = await launch_server(context, request, plan)
    try:
        if request.place == LOCAL:
            await until_ready(plan.endpoint, server)
            return plan.endpoint, {server.id: LOCAL}
        leading, port = await _open_tunnel(context, request, plan)
        endpoint = replace(plan.endpoint, base_url=f"http://127.0.0.1:{port}/v1")
        await until_ready(endpoint, server)
        return endpoint, {leading.id: LOCAL}
    except (CalmtuneError, asyncio.CancelledError):
        await _stop(context)
        raise


async def _publish(
    context: Context, public: Publication, endpoint: Endpoint, limit_seconds: float
) -> tuple[Gate, list[dict[str, str]], dict[str, str]]:
    """(gate, findings, the proxy's job). All is ended when the proxy does not start, and the proxy when more is open than should be."""
    try:
        proxy = await publish(context, public, endpoint, limit_seconds)
        gate, findings = await look_from_outside(context, public)
    except (CalmtuneError, asyncio.CancelledError):
        await _stop(context)
        raise
    if not gate.passed:
        await context.jobs.stop(PROXY)
    return gate, findings, {proxy.id: LOCAL} if gate.passed else {}


async def _export(context: Context, artifact: ModelArtifact, store: Store) -> Exported:
    """Copy the model and the files to serve it elsewhere; the server is of no use to a step that failed."""
    taken = TakenAway(artifact, context.folder / FOLDER)
    try:
        return await export_in_step(context, taken, store)
    except (CalmtuneError, OSError, asyncio.CancelledError):
        await _stop(context)
        raise


async def _stop(context: Context) -> None:
    for purpose in (PROXY, TUNNEL, SERVER, SERVICE):
        await context.jobs.stop(purpose)


async def _open_tunnel(context: Context, request: ServerRequest, plan: ServerPlan) -> tuple[Launched, int]:
    """A tunnel to the server as a job of this machine: it lasts as long as the server, not as long as this program."""
    await context.jobs.stop(TUNNEL)
    port = context.answers.port or context.jobs.target().free_port()
    arguments, needed = await asyncio.to_thread(context.jobs.target(request.place).tunnel_command, port_of(plan), port)
    command = (sys.executable, "-m", "provisioning.tunnel", *arguments)
    package = str(Path(tunnel.__file__).parents[1])
    environment = {**needed, "PYTHONPATH": os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH", "")]))}
    job = Job(TUNNEL, command, environment=environment, limit_seconds=request.limit_seconds)
    return await context.jobs.launch(job), port
