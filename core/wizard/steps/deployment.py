"""Step 6: serve the final model, and write what it takes to serve it elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

from core.errors import UsageError
from core.serving.export.place import parse_place
from core.wizard.shared import SharedAnswers
from core.wizard.step import Context, Outputs
from provisioning.place_names import LOCAL, SERVING_PATTERN


def _a_place(text: str) -> str:
    """An answer that names a place, or nothing; raises pydantic's error with the sentence of `parse_place`."""
    try:
        if text:
            parse_place(text)
    except UsageError as error:
        raise PydanticCustomError("place", "{why}", {"why": str(error)}) from error
    return text


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
    export_to: Annotated[str, AfterValidator(_a_place)] = Field(
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

    def foretell_server(self, context: Context) -> str:
        """The GPUs that would be rented to serve the model, in words; "" where none would."""
        from core.wizard.work import deployment

        return deployment.foretell_server(context)

    async def run(self, context: Context) -> Outputs:
        from core.wizard.work import deployment

        return await deployment.run(context)


STEP = DeploymentStep()
