"""Step 6: serve the final model, and write what it takes to serve it elsewhere."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from core.errors import StepFailed
from core.serving.connect import KEY_VARIABLE
from core.serving.manifests import docker_command, kubernetes
from core.serving.server import plan_server, wait_until_ready
from core.training.bundle import ModelArtifact
from core.wizard.events import Log, Notice
from core.wizard.shared import SharedAnswers
from core.wizard.step import Context, Gate, Outputs
from provisioning.job import Job, Resources


class DeploymentAnswers(BaseModel):
    """How the model is served."""

    model_config = ConfigDict(extra="forbid")

    served_name: str = Field(
        "calmtune",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,60}$",
        title="Model name",
        description="Name under which the model is served.",
    )
    engine: Literal["auto", "vllm", "transformers"] = Field(
        "auto", title="Model server", description="auto takes vLLM where it is installed, else transformers serve."
    )
    port: int = Field(0, ge=0, le=65535, title="Port", description="Port on 127.0.0.1; 0 takes a free one.")
    hours: float = Field(
        24 * 30,
        gt=0,
        title="Time limit",
        description="The server stops by itself after this long.",
        json_schema_extra={"unit": "hours", "cosmetic": True, "advanced": True},
    )


class DeploymentStep:
    """Starts a server that outlives the wizard."""

    id: ClassVar[str] = "deployment"
    version: ClassVar[int] = 1
    title: ClassVar[str] = "Deployment"
    purpose: ClassVar[str] = "Serve the final model on this machine and write docker and Kubernetes files for others."
    upstream: ClassVar[tuple[str, ...]] = ("production",)
    shared: ClassVar[tuple[str, ...]] = ()
    answers: ClassVar[type[BaseModel]] = DeploymentAnswers

    def reads(self, shared: SharedAnswers, answers: DeploymentAnswers) -> Sequence[Path]:
        return ()

    async def run(self, context: Context) -> Outputs:
        answers: DeploymentAnswers = context.answers
        production = context.upstream["production"]
        model = production.path("model").resolve()
        ModelArtifact(model, production.path("manifest")).verify()
        plan = plan_server(model, answers.served_name, answers.engine, answers.port, key=os.environ.get(KEY_VARIABLE))
        if plan.endpoint.api_key and not os.environ.get(KEY_VARIABLE):
            os.environ[KEY_VARIABLE] = plan.endpoint.api_key  # for the first conversation; it is kept nowhere else
            context.emit(
                Notice("warning", f"a key was made up for this run; deploy with {KEY_VARIABLE} set to keep one")
            )
        context.emit(Log(f"serving with {plan.engine}: {plan.reason}"))
        job = Job(
            "server",
            plan.command,
            environment=plan.environment,
            secrets=plan.secrets,
            resources=Resources(cpus=2, memory_gb=4),
            limit_seconds=3600 * answers.hours,
        )
        id = await context.jobs.launch(job)
        target = context.jobs.target()

        def ended() -> str | None:
            status = target.status(id)
            return None if status.state == "running" else status.detail or status.state

        try:
            await wait_until_ready(plan.endpoint, ended)
        except (StepFailed, asyncio.CancelledError):
            await asyncio.to_thread(target.cancel, id)
            raise
        (context.folder / "docker.sh").write_text(
            "#!/bin/sh\n# Needs an NVIDIA GPU. Choose a key first: export VLLM_API_KEY=...\n"
            f"exec {docker_command(model, answers.served_name)}\n"
        )
        (context.folder / "kubernetes.yaml").write_text(kubernetes(answers.served_name))
        address = plan.endpoint.base_url or ""
        gates = [
            Gate("endpoint healthy", "answers a completion", "it did", True),
            Gate("endpoint private", "loopback only", address, address.startswith("http://127.0.0.1:")),
            Gate("checksums equal", "every file of the model as trained", "all", True),
        ]
        summary = {
            "endpoint": address,
            "model": plan.endpoint.model,
            "engine": plan.engine,
            "job": id,
            "needs_key": bool(plan.secrets),
            "docker": docker_command(model, answers.served_name),
        }
        files = {"docker": "docker.sh", "kubernetes": "kubernetes.yaml"}
        return Outputs(summary, files, gates, production.outputs.digest + ":" + address, {id: target.name})


STEP = DeploymentStep()
