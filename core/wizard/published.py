"""A model server that other machines may ask: a proxy with TLS and keys before it, as a job that lasts as long as the server."""

from __future__ import annotations

import asyncio
import json
import os
import ssl
import sys
from dataclasses import dataclass, field
from pathlib import Path

import core
from core.errors import StepFailed, UsageError
from core.llm.client import Endpoint
from core.wizard.events import Log, Notice
from core.wizard.jobs import Launched
from core.wizard.purposes import PROXY
from core.wizard.step import Context, Gate
from provisioning.job import Job

START_SECONDS = 30.0
_HERE = "127.0.0.1, ::1"
"""Always let in: the look at what is open comes from here."""


@dataclass(frozen=True)
class Publication:
    """Where and to whom a server is published."""

    host: str
    port: int
    certificate: Path
    key: Path
    allowed: str
    requests_per_minute: float
    clients: str = field(repr=False)
    """Name and key of each, as in CALMTUNE_PROXY_KEYS."""

    @property
    def url(self) -> str:
        """As it is reached from this machine."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)
        return f"https://{f'[{host}]' if ':' in host else host}:{self.port}"


def read_publication(
    address: str, certificate: str, key: str, allowed: str, requests_per_minute: float
) -> Publication | None:
    """What the answers ask for; None for a private server. Raises UsageError for what is missing or wrong."""
    if not address:
        return None
    try:
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise UsageError(f"a public address needs a proxy, and {error.name} is missing; install calmtune[proxy]") from error
    from core.serving.proxy.addresses import read_networks
    from core.serving.proxy.certificate import Pair, server_context
    from core.serving.proxy.keys import VARIABLE, read_keys

    host, _, port = address.rpartition(":")
    if not certificate or not key:
        raise UsageError(
            "a public address needs deployment.tls_certificate and deployment.tls_key; `calmtune proxy --self-signed FOLDER` makes a pair"
        )
    clients = os.environ.get(VARIABLE, "")
    read_keys(clients, VARIABLE)
    read_networks(allowed)
    pair = Pair(Path(certificate).expanduser().absolute(), Path(key).expanduser().absolute())
    server_context(pair)
    return Publication(host.strip("[]"), int(port), pair.certificate, pair.key, allowed, requests_per_minute, clients)


async def free_address(context: Context, published: Publication) -> None:
    """End the proxies of earlier runs, whose address this one takes. Raises UsageError when somebody else has it."""
    from core.serving.proxy.server import Settings, listening

    await context.jobs.stop_every(PROXY)
    listening(Settings("", published.host, published.port)).close()


async def publish(context: Context, published: Publication, endpoint: Endpoint, limit_seconds: float) -> Launched:
    """Start the proxy before `endpoint`, which is on this machine's loopback, and wait until it answers. Raises StepFailed."""
    from core.serving.proxy.certificate import fingerprint
    from core.serving.proxy.keys import SERVER_KEY_VARIABLE, VARIABLE

    settings = {
        "to": endpoint.base_url,
        "host": published.host,
        "port": published.port,
        "certificate": str(published.certificate),
        "key": str(published.key),
        "allowed": f"{published.allowed}, {_HERE}" if published.allowed.strip() else "",
        "requests_per_minute": published.requests_per_minute,
    }
    told = context.folder / "proxy.json"
    told.write_text(json.dumps(settings, indent=1), encoding="utf-8")
    package = str(Path(core.__file__).parents[1])
    job = Job(
        PROXY,
        (sys.executable, "-m", "core.serving.proxy", told.name),
        files={told.name: told},
        environment={"PYTHONPATH": os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH", "")]))},
        secrets={VARIABLE: published.clients, SERVER_KEY_VARIABLE: endpoint.api_key or ""},
        limit_seconds=limit_seconds,
    )
    running = await context.jobs.launch(job)
    await _wait_until_ready(published, running)
    context.emit(Log(f"{published.url} is public; SHA-256 of its certificate: {fingerprint(published.certificate)}"))
    return running


async def look_from_outside(context: Context, published: Publication) -> tuple[Gate, list[dict[str, str]]]:
    """Whether only the four addresses are open, and all that was looked at."""
    from core.serving.proxy.keys import VARIABLE, read_keys
    from core.serving.proxy.probe import Probe

    key = next(iter(read_keys(published.clients, VARIABLE).values()))
    looking = Probe(published.url, key, published.certificate)
    findings = await asyncio.to_thread(lambda: list(looking.look()))
    failed = [finding.sentence for finding in findings if finding.state == "fail"]
    for sentence in failed:
        context.emit(Notice("warning", sentence))
    tried = [finding for finding in findings if finding.state != "not tried"]
    measured = f"{len(failed)} of {len(tried)} findings failed" if failed else f"all {len(tried)} findings are good"
    gate = Gate("only the four addresses are open", "to clients with a key, over TLS", measured, not failed, detail="; ".join(failed))
    return gate, [vars(finding) for finding in findings]


async def _wait_until_ready(published: Publication, running: Launched) -> None:
    """Raises StepFailed with the proxy's last words when it does not listen."""
    import httpx

    blind = ssl.create_default_context()
    blind.check_hostname = False
    blind.verify_mode = ssl.CERT_NONE  # nothing is said that others may not hear
    async with httpx.AsyncClient(verify=blind, timeout=2.0) as client:
        for _ in range(round(START_SECONDS / 0.2)):
            status = await asyncio.to_thread(running.target.status, running.id)
            if status.state != "running":
                raise StepFailed(f"the proxy ended while starting: {status.detail or status.state}")
            try:
                if (await client.get(f"{published.url}/health")).status_code == 200:
                    return
            except httpx.HTTPError:
                pass
            await asyncio.sleep(0.2)
    raise StepFailed(f"the proxy at {published.url} did not become ready within {START_SECONDS:.0f} s")
