"""A model on replicas behind SkyServe's load balancer: what it takes, brought up, waited for, looked at from outside."""

from __future__ import annotations

import asyncio
import ipaddress
import os
import ssl
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from core.errors import CalmtuneError, ProviderError, StepFailed, UsageError
from core.llm.client import Endpoint
from core.serving.connect import KEY_VARIABLE
from core.serving.manifests.served import Served
from core.serving.manifests.skyserve import disk_gib, service_task
from core.serving.server import ANSWER_SECONDS
from core.training.base_finder import resolve_here
from core.wizard.events import Log, Notice
from core.wizard.jobs import LEAVE
from core.wizard.purposes import SERVICE
from core.wizard.step import Context, Gate
from provisioning import sky_sdk
from provisioning.job import Resources
from provisioning.sky_serve import SkyServeTarget

if TYPE_CHECKING:
    import httpx

    from core.serving.proxy.certificate import Pair

START_SECONDS = 3600.0
"""For machines to be had, vLLM installed and weights loaded."""
_LOOK_SECONDS = 10.0
_ANSWER_SECONDS = 180.0
"""The balancer hears of replicas that are ready every 20 s."""
_HEALTH_SECONDS = 10.0
HUB_TOKEN = "HF_TOKEN"


@dataclass(frozen=True)
class Terms:
    """To whom a service answers, and how it is reached."""

    clients: str
    """Names and digests of keys, as SkyPilot may write them down."""
    key: str = field(repr=False)
    """Of one client, for the first conversation."""
    pair: Pair | None
    """The balancer's certificate and private key; None for HTTP."""


@dataclass(frozen=True)
class Brought:
    """A service that answers."""

    id: str
    endpoint: Endpoint
    gates: list[Gate]
    findings: list[dict[str, str]]


def read_terms(certificate: str, key: str, public_address: str, allowed: str, engine: str) -> Terms:
    """What answers and environment ask for. Raises UsageError for what is missing or wrong."""
    from core.serving.proxy.certificate import Pair, server_context
    from core.serving.proxy.keys import VARIABLE, digested, is_digest, read_keys

    sky_sdk.sky()
    if public_address:
        raise UsageError("deployment.public_address is of this machine; skyserve has an address of its own, the load balancer's")
    if allowed:
        raise UsageError("deployment.allowed_addresses cannot be kept by skyserve, where replicas see the load balancer's address alone")
    if engine == "transformers":
        raise UsageError("skyserve serves with vLLM, on machines with GPUs; answer deployment.engine: auto")
    if not (text := os.environ.get(VARIABLE, "")):
        raise UsageError(
            f"skyserve makes the model public, to clients with keys alone: {VARIABLE} names them (name=key, `openssl rand -hex 32` makes a "
            "key); sky keeps a server private"
        )
    named = read_keys(text, VARIABLE)
    plain = [one for one in named.values() if not is_digest(one)]
    mine = os.environ.get(KEY_VARIABLE, "") or next(iter(plain), "")
    if digested(mine) not in map(digested, named.values()):
        which = f"{KEY_VARIABLE} is none of the keys in {VARIABLE}" if mine else f"all keys in {VARIABLE} are digests"
        raise UsageError(f"{which}, and the first conversation is held with one of them; set {KEY_VARIABLE} to it")
    if bool(certificate) != bool(key):
        raise UsageError("deployment.tls_certificate and deployment.tls_key go together")
    pair = None
    if certificate:
        pair = Pair(Path(certificate).expanduser().absolute(), Path(key).expanduser().absolute())
        server_context(pair)
    return Terms(",".join(f"{name}={digested(one)}" for name, one in named.items()), mine, pair)


async def bring_up(context: Context, place: str, served: Served, terms: Terms, files: Path, python: str) -> Brought:
    """Bring up the service, or adopt it, and wait until it answers as it should; `files` is the folder that `write_files` has written.
    Services that this step has brought up for other inputs are ended then. What fails is ended at once.

    Raises StepFailed, ProviderError, UsageError and BudgetReached.
    """
    from core.serving.proxy.keys import VARIABLE

    _tell_risks(context, terms)
    task = service_task(await _with_base(served), str(files), python)
    task["envs"] = {**task.get("envs", {}), VARIABLE: terms.clients}
    if terms.pair is not None:
        task["service"]["tls"] = {"keyfile": str(terms.pair.key), "certfile": str(terms.pair.certificate)}
    gpus = served.flags.gpus
    need = Resources(gpus, gpu_memory_gb=served.gpu_gb, cpus=4 * gpus, memory_gb=served.memory_gib, disk_gb=disk_gib(served))
    try:
        launched = await context.jobs.serve(SERVICE, task, need, place, lambda line: context.emit(Log(line)))
        assert isinstance(launched.target, SkyServeTarget)
        balancer = await _until_ready(context, launched.target, launched.id)
        await _until_it_answers(balancer, served.name, terms)
        endpoint = Endpoint(f"{balancer}/v1", served.name, None, ANSWER_SECONDS, terms.key, keeps_to_grammar=True)
        gate, findings = await _look(context, balancer, terms)
        if not gate.passed:
            raise StepFailed(f"more is open than should be: {gate.detail}")
    except (CalmtuneError, asyncio.CancelledError) as error:
        if error.args != (LEAVE,):
            await context.jobs.stop(SERVICE)
        raise
    await context.jobs.stop_every(SERVICE, but=launched.id)
    return Brought(launched.id, replace(endpoint, base_url=_public(context, balancer, terms)), [gate], findings)


def _tell_risks(context: Context, terms: Terms) -> None:
    if terms.pair is None:
        context.emit(Notice("warning", "without deployment.tls_certificate keys and prompts travel to the load balancer in the clear"))
    context.emit(
        Notice(
            "warning",
            "SkyServe's load balancer writes the headers of each request, keys among them, to ~/.sky/serve/*/load_balancer.log on its "
            "controller: let nobody else read that machine, and give keys that open nothing but this service",
        )
    )
    context.emit(
        Notice(
            "warning",
            "SkyServe speaks HTTP between its load balancer and the replicas, and no limit of time or money ends a service while calmtune "
            "does not run: keep both in one private network (`use_internal_ips` in ~/.sky/config.yaml), and end it with `calmtune stop`",
        )
    )


async def _with_base(served: Served) -> Served:
    """With a base model that takes a token of the hub downloaded here and sent along: SkyPilot would write the token down."""
    if not served.hub_base or not os.environ.get(HUB_TOKEN):
        return served
    assert served.adapter is not None
    *others, base = served.folders
    here = await resolve_here(served.adapter.base, like=served.adapter.like)
    return replace(served, folders=(*others, replace(base, here=Path(here))))


async def _until_ready(context: Context, target: SkyServeTarget, id: str) -> str:
    """The balancer's address once a replica is ready."""
    deadline, said = time.monotonic() + START_SECONDS, ""
    while True:
        service = await asyncio.to_thread(target.service, id)
        if service is None:
            raise StepFailed(f"{id} is gone: it was ended from outside")
        if service.state in ("failed", "broken"):
            log = context.folder / "service.log"
            log.write_text(await asyncio.to_thread(target.log, id), encoding="utf-8")
            raise StepFailed(f"{id} did not come up ({service.sentence}) and was ended; what its replicas said is in {log}")
        if service.sentence != said:
            said = service.sentence
            context.emit(Log(f"{id}: {said}, ${service.usd_per_hour:.2f} an hour"))
        if service.state == "ready" and service.endpoint:
            return service.endpoint.rstrip("/")
        if time.monotonic() > deadline:
            raise ProviderError(f"{id} was not ready within {START_SECONDS / 60:.0f} minutes ({said}); it is ended")
        await asyncio.sleep(_LOOK_SECONDS)


async def _until_it_answers(balancer: str, model: str, terms: Terms) -> None:
    """Wait for health through the balancer, then for a completion that keeps to a grammar, with a client's key."""
    import httpx

    from core.serving.grammar import request_extra

    word = "calmtune"
    body = {
        "model": model, "max_tokens": 16, "messages": [{"role": "user", "content": "hello"}], **request_extra(f'root ::= "{word}"\n'),
    }  # fmt: skip
    deadline, said = time.monotonic() + _ANSWER_SECONDS, ""
    async with httpx.AsyncClient(verify=_trusting(terms.pair), timeout=ANSWER_SECONDS) as client:
        while True:
            try:
                # A request that comes before the balancer knows a replica may hang there for ever (SkyPilot 0.14.1).
                if (await client.get(f"{balancer}/health", timeout=_HEALTH_SECONDS)).status_code == 200:
                    break
            except httpx.HTTPError as error:
                said = f": {error}"
            if time.monotonic() > deadline:
                raise ProviderError(f"{balancer} does not answer although a replica is ready{said}; is its port open to this machine?")
            await asyncio.sleep(2)
        try:
            answer = await client.post(
                f"{balancer}/v1/chat/completions", json=body, headers={"Authorization": f"Bearer {terms.key}"}
            )
        except httpx.HTTPError as error:
            raise StepFailed(f"the service is ready and does not answer: {error}") from error
    _require(answer, word)


def _require(answer: httpx.Response, word: str) -> None:
    """Raises StepFailed when this is no completion, or one that the grammar forbids."""
    if answer.status_code != 200:
        raise StepFailed(f"the service is ready and answers its first request with {answer.status_code}: {answer.text[:300]}")
    try:
        said = answer.json()["choices"][0]["message"]["content"]
    except (ValueError, KeyError, IndexError, TypeError):
        raise StepFailed(f"the service answers what is no completion: {answer.text[:300]}") from None
    if said != word:
        raise StepFailed("this vLLM does not keep to grammars (structured_outputs); it takes vLLM 0.11 or newer")


def _trusting(pair: Pair | None) -> ssl.SSLContext | bool:
    """Trusts the very certificate that the balancer was given: its address is none that the certificate names."""
    if pair is None:
        return True
    context = ssl.create_default_context(cafile=str(pair.certificate))
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


async def _look(context: Context, balancer: str, terms: Terms) -> tuple[Gate, list[dict[str, str]]]:
    """Whether only the four addresses are open, and all that was looked at."""
    from core.serving.proxy.probe import IN_THE_CLEAR, Probe

    looking = Probe(balancer, terms.key, terms.pair.certificate if terms.pair is not None else None, balanced=True)
    findings = await asyncio.to_thread(lambda: list(looking.look()))
    failed = [one.sentence for one in findings if one.state == "fail" and one.sentence != IN_THE_CLEAR]
    for sentence in failed:
        context.emit(Notice("warning", sentence))
    tried = [one for one in findings if one.state != "not tried"]
    measured = f"{len(failed)} of {len(tried)} findings failed" if failed else f"all {len(tried)} findings are good"
    to = "to clients with a key, over TLS" if terms.pair is not None else "to clients with a key"
    return Gate("only the four addresses are open", to, measured, not failed, detail="; ".join(failed)), [vars(one) for one in findings]


def _public(context: Context, balancer: str, terms: Terms) -> str:
    """The address for clients: by a name that the certificate is for, where it is not for the balancer's address."""
    from core.serving.proxy.certificate import names_of

    parts = urlsplit(balancer)
    if terms.pair is None:
        return f"{balancer}/v1"
    names = names_of(terms.pair.certificate)
    named = [name for name in names if not _is_address(name) and not name.startswith("*")]
    if parts.hostname in names or not named:
        return f"{balancer}/v1"
    context.emit(
        Notice("warning", f"the certificate is for {named[0]}: point that name at {parts.hostname}, as clients ask {named[0]}:{parts.port}")
    )
    return f"https://{named[0]}:{parts.port}/v1"


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
