"""Step 6: serve the final model, and write what it takes to serve it elsewhere."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from core.errors import CalmtuneError, UsageError
from core.llm.client import Endpoint
from core.serving.connect import KEY_VARIABLE
from core.serving.export.copying import Exported
from core.serving.export.open_store import open_store
from core.serving.export.place import parse_place
from core.serving.export.store import Store
from core.serving.manifests.folder import FOLDER, write_files
from core.serving.manifests.served import describe
from core.serving.server import ServerPlan
from core.training.bundle import ModelArtifact
from core.wizard.events import Log, Notice
from core.wizard.exporting import TakenAway, check_place, export_in_step, final_model
from core.wizard.jobs import Launched
from core.wizard.published import PURPOSE as PROXY
from core.wizard.published import Publication, free_address, look_from_outside, publish, read_publication
from core.wizard.served import PURPOSE, ServerRequest, launch_server, make_plan, port_of, until_ready
from core.wizard.service import PURPOSE as SERVICE
from core.wizard.service import bring_up, read_terms
from core.wizard.shared import SharedAnswers
from core.wizard.step import Context, Gate, Outputs
from provisioning import tunnel
from provisioning.job import Job
from provisioning.places import LOCAL, SERVING_PATTERN, SKYSERVE

TUNNEL = "tunnel"


class DeploymentAnswers(BaseModel):
    """How the model is served."""

    model_config = ConfigDict(extra="forbid")

    served_name: str = Field(
        "calmtune",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,60}$",
        title="Model name",
        description="Name under which the model is served.",
    )
    machine: str = Field(
        LOCAL,
        pattern=SERVING_PATTERN,
        title="Machine",
        description="local for this one; ssh: and a host of the SSH configuration; sky and a cloud (sky:aws) for a rented one: a tunnel "
        "leads from here to those. skyserve (skyserve:aws) rents as many as the load takes behind a public load balancer, for clients with "
        "keys (CALMTUNE_PROXY_KEYS).",
    )
    engine: Literal["auto", "vllm", "transformers"] = Field(
        "auto",
        title="Model server",
        description="auto takes vLLM where it is installed (on another machine: where there is a GPU), else transformers serve.",
    )
    python: str = Field(
        "", title="Python", description="Interpreter on the machine with the model server; empty for the one calmtune runs in, and on "
        "another machine for an environment that is made there once.",
        json_schema_extra={"cosmetic": True, "advanced": True},
    )  # fmt: skip
    port: int = Field(
        0, ge=0, le=65535, title="Port", description="Port on 127.0.0.1 of this machine; 0 takes a free one."
    )
    hours: float = Field(
        24 * 30,
        gt=0,
        title="Time limit",
        description="The server stops by itself after this long.",
        json_schema_extra={"unit": "hours", "cosmetic": True, "advanced": True},
    )
    replicas: int = Field(
        1,
        ge=1,
        le=64,
        title="Servers elsewhere",
        description="How many servers skyserve and the files for clusters and rented machines start; here it is one.",
        json_schema_extra={"advanced": True},
    )
    most_replicas: int = Field(
        0,
        ge=0,
        le=256,
        title="Most servers",
        description="For skyserve: how many there may be under load, each on a machine that costs money; 0 for four times as many as "
        "without.",
        json_schema_extra={"advanced": True},
    )
    requests_per_second: float = Field(
        4.0,
        gt=0,
        title="Load of a server",
        description="For skyserve: requests a second of which one server is thought to be capable; above it more are started, below it "
        "they are ended. Measure yours.",
        json_schema_extra={"unit": "requests a second", "advanced": True},
    )
    public_address: str = Field(
        "",
        pattern=r"^$|^([0-9.]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}$",
        title="Public address",
        description="Address and port of this machine where others may ask the server, such as 0.0.0.0:8443, through a proxy that wants "
        "TLS and a key of each client (CALMTUNE_PROXY_KEYS); empty keeps the server private.",
        json_schema_extra={"advanced": True},
    )
    tls_certificate: str = Field(
        "",
        title="TLS certificate",
        description="For a public address, or skyserve's load balancer: file with the certificate (chain) in PEM form.",
        json_schema_extra={"advanced": True},
    )
    tls_key: str = Field(
        "",
        title="TLS key",
        description="File with its private key, which only you may read.",
        json_schema_extra={"advanced": True},
    )
    allowed_addresses: str = Field(
        "",
        title="Allowed addresses",
        description="For a public address: addresses and networks that are let in, such as 10.1.0.0/16, 192.0.2.7 (and this machine); "
        "empty for all.",
        json_schema_extra={"advanced": True},
    )
    requests_per_minute: int = Field(
        600,
        ge=1,
        title="Requests a minute",
        description="For a public address: how many each client may make; with skyserve, of each server.",
        json_schema_extra={"unit": "requests a minute", "advanced": True},
    )
    export_to: Annotated[str, AfterValidator(check_place)] = Field(
        "",
        title="Export to",
        description="Where a copy of the model goes, with manifest, card and the files to serve it elsewhere: a folder, "
        "s3://bucket/prefix, gs://bucket/prefix or az://container/prefix; empty for nowhere. Keys come from the environment.",
    )


class DeploymentStep:
    """Starts a server that outlives the wizard."""

    id: ClassVar[str] = "deployment"
    version: ClassVar[int] = 2
    title: ClassVar[str] = "Deployment"
    purpose: ClassVar[str] = "Serve the final model and write docker and Kubernetes files to serve it elsewhere."
    upstream: ClassVar[tuple[str, ...]] = ("production",)
    shared: ClassVar[tuple[str, ...]] = ()
    answers: ClassVar[type[BaseModel]] = DeploymentAnswers

    def reads(self, shared: SharedAnswers, answers: DeploymentAnswers) -> Sequence[Path]:
        return ()

    async def run(self, context: Context) -> Outputs:
        if context.answers.machine.partition(":")[0] == SKYSERVE:
            return await _run_service(context)
        answers: DeploymentAnswers = context.answers
        public = read_publication(
            answers.public_address, answers.tls_certificate, answers.tls_key, answers.allowed_addresses, answers.requests_per_minute
        )  # fmt: skip
        if public is not None:
            await free_address(context, public)
        production = context.upstream["production"]
        store = open_store(parse_place(answers.export_to)) if answers.export_to else None
        artifact = final_model(production)
        artifact.verify()
        model = artifact.folder
        request = ServerRequest(
            model,
            answers.machine,
            answers.engine,
            answers.served_name,
            answers.python,
            answers.port if answers.machine == LOCAL else 0,
            os.environ.get(KEY_VARIABLE),
            3600 * answers.hours,
            artifact.longest_row,
        )
        plan = await make_plan(context, request)
        if plan.endpoint.api_key and not os.environ.get(KEY_VARIABLE):
            os.environ[KEY_VARIABLE] = plan.endpoint.api_key  # for the first conversation; it is kept nowhere else
            context.emit(
                Notice("warning", f"a key was made up for this run; deploy with {KEY_VARIABLE} set to keep one")
            )
        described = describe(model, answers.served_name, artifact.read_manifest(), answers.replicas)
        endpoint, jobs = await _start(context, request, plan)
        files = write_files(described, context.folder / FOLDER)
        context.emit(Log(f"to serve it elsewhere, in {FOLDER}: {', '.join(files.values())}"))
        address = endpoint.base_url or ""
        reached = Gate("endpoint private", "loopback only", address, address.startswith("http://127.0.0.1:"))
        findings: list[dict[str, str]] = []
        if public is not None:
            reached, findings, proxies = await _publish(context, public, endpoint, request.limit_seconds)
            jobs |= proxies
        gates = [
            Gate("endpoint healthy", "answers a completion", "it did", True),
            reached,
            Gate("checksums equal", "every file of the model as trained", "all", True),
        ]
        summary = {
            "endpoint": address,
            "machine": answers.machine,
            "model": plan.endpoint.model,
            "engine": plan.engine,
            "job": next(iter(jobs)),
            "needs_key": bool(plan.secrets),
            **({"public": public.url, "findings": findings} if public is not None else {}),
        }
        if store is not None:
            exported = await _export(context, artifact, store)
            summary["export"] = asdict(exported)
            gates.append(Gate("export verified", "every file read back and equal", f"all {exported.files}", True))
        paths = {name: f"{FOLDER}/{file}" for name, file in files.items()}
        return Outputs(summary, paths, gates, production.outputs.digest + ":" + address, jobs)


async def _run_service(context: Context) -> Outputs:
    """On replicas behind a load balancer."""
    answers: DeploymentAnswers = context.answers
    terms = await asyncio.to_thread(
        read_terms, answers.tls_certificate, answers.tls_key, answers.public_address, answers.allowed_addresses, answers.engine
    )
    if 0 < answers.most_replicas < answers.replicas:
        raise UsageError(f"deployment.most_replicas is {answers.most_replicas}, less than deployment.replicas ({answers.replicas})")
    production = context.upstream["production"]
    store = open_store(parse_place(answers.export_to)) if answers.export_to else None
    artifact = final_model(production)
    artifact.verify()
    described = describe(
        artifact.folder, answers.served_name, artifact.read_manifest(), answers.replicas, answers.most_replicas, answers.requests_per_second
    )
    files = write_files(described, context.folder / FOLDER, answers.requests_per_minute)
    brought = await bring_up(context, answers.machine, described, terms, context.folder / FOLDER, answers.python)
    if not os.environ.get(KEY_VARIABLE):
        os.environ[KEY_VARIABLE] = terms.key  # for the first conversation
    gates = [
        Gate("endpoint healthy", "answers a completion", "it did", True),
        *brought.gates,
        Gate("checksums equal", "every file of the model as trained", "all, before each replica serves", True),
    ]
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
    if store is not None:
        exported = await _export(context, artifact, store)
        summary["export"] = asdict(exported)
        gates.append(Gate("export verified", "every file read back and equal", f"all {exported.files}", True))
    paths = {name: f"{FOLDER}/{file}" for name, file in files.items()}
    return Outputs(summary, paths, gates, production.outputs.digest + ":" + address, {brought.id: answers.machine})


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
    for purpose in (PROXY, TUNNEL, PURPOSE, SERVICE):
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


STEP = DeploymentStep()
