"""A real vLLM (its CPU build) serves a real tuned model, here and over SSH, and lets it write nothing but commands."""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from pathlib import Path

import httpx
import psutil
import pytest

from core import demo
from core.assistant.project import load_assistant
from core.assistant.repair import with_default_patterns
from core.errors import ProviderError
from core.llm.client import ChatClient, Completion, Endpoint
from core.serving.grammar import grammar, request_extra
from core.serving.proxy.certificate import make_self_signed
from core.serving.proxy.forwarding import OPEN
from core.serving.proxy.probe import DANGEROUS, Probe
from core.serving.proxy.server import Settings
from core.wizard.jobs import JobKeeper
from core.wizard.journal import Journal
from core.wizard.served import ServerRequest, served
from core.wizard.step import Context
from provisioning.places import Places
from tests.rigs.proxied import published
from tests.rigs.recipe import ROOT
from tests.rigs.sshd import running_sshd
from tests.rigs.tuned import Tuned, tuned

pytestmark = pytest.mark.rig
PYTHON = ROOT / ".venv-vllm" / "bin" / "python"
ALONE, TOGETHER, AT_ONCE = 10, 48, 8


@pytest.fixture(scope="module")
def model() -> Tuned:
    if not PYTHON.exists():
        pytest.skip("there is no environment with vLLM; `make test-vllm` makes one")
    return tuned()


@pytest.fixture(scope="module")
def commands() -> str:
    """The grammar of the sample assistant."""
    assistant = with_default_patterns(load_assistant(demo.assistant_folder()))
    return grammar(assistant, assistant.settings.dialect)


@pytest.fixture
def server(tmp_path, monkeypatch):
    with running_sshd(tmp_path / "sshd") as running:
        running.trust()
        (tmp_path / "ssh_config").write_text(running.config())
        monkeypatch.setenv("CALMTUNE_SSH_CONFIG", str(tmp_path / "ssh_config"))
        monkeypatch.setenv("CALMTUNE_REMOTE_FOLDER", str(tmp_path / "there"))
        yield running


async def test_served_here(model, commands, tmp_path):
    await serve_and_ask(model.model, "local", model, commands, tmp_path)


async def test_an_adapter_served_over_ssh(model, commands, tmp_path, server):
    await serve_and_ask(model.adapter, "ssh:box", model, commands, tmp_path)


async def serve_and_ask(folder: Path, place: str, model: Tuned, commands: str, tmp_path: Path) -> None:
    said: list[str] = []
    places = Places(tmp_path / "jobs")
    keeper = JobKeeper(Journal(tmp_path / "session.db"), places, "one", "evaluation", "abcdef0123456789")
    context = Context(None, None, {}, tmp_path, lambda event: said.append(str(getattr(event, "line", event))), keeper)
    request = ServerRequest(folder, place, "vllm", "tuned", str(PYTHON), longest_row=model.longest_row)
    messages = [json.loads(line)["prompt"] for line in model.rows.read_text().splitlines()]
    prompts = [messages[number % len(messages)] for number in range(TOGETHER)]
    began = time.monotonic()
    try:
        async with served(context, request) as endpoint:
            ready = time.monotonic() - began
            (line,) = [line for line in said if line.startswith("serving with vllm")]
            assert f"the longest row it learnt has {model.longest_row} tokens" in line
            port = int((endpoint.base_url or "").removesuffix("/v1").rpartition(":")[2])
            running = processes(place, tmp_path)
            assert running, "the server is there"
            alone = await ask(endpoint, prompts[:ALONE], 1, commands)
            start = time.monotonic()
            together = await ask(endpoint, prompts, AT_ONCE, commands)
            took = time.monotonic() - start
            wrong = [answer.text for answer in (*alone, *together) if not inside(commands, answer.text)]
            assert wrong == []
            await needs_its_key(endpoint)
            async with httpx.AsyncClient() as client:
                metrics = (await client.get(f"http://127.0.0.1:{port}/metrics")).text
                known = (await client.get(f"http://127.0.0.1:{port}/openapi.json")).json()["paths"]
            assert {path for path in known if "{" not in path} <= {*OPEN, *DANGEROUS}, "the probe asks for all that vLLM has"
            assert await asyncio.to_thread(found_open, endpoint, tmp_path) == []
            hits = [float(line.split()[-1]) for line in metrics.splitlines() if line.startswith("vllm:prefix_cache_hits_total{")]
            assert sum(hits) > 0, "prompts share their beginning"
            p50 = statistics.median(answer.seconds for answer in alone)
            print(f"\n{place}: ready after {ready:.0f} s, p50 alone {p50:.2f} s, {TOGETHER} at concurrency {AT_ONCE} in {took:.0f} s")
    finally:
        places.close()
    _, alive = psutil.wait_procs(running, timeout=30)
    assert alive == []
    assert "vLLM" in (tmp_path / "server.log").read_text()


def processes(place: str, folder: Path) -> list[psutil.Process]:
    """All that runs in the folder of a job of this place."""
    root = str(folder / ("there" if place.startswith("ssh") else "jobs"))
    found = []
    for process in psutil.process_iter():
        try:
            if process.cwd().startswith(root):
                found += [process, *process.children(recursive=True)]
        except psutil.Error:
            continue
    return found


def found_open(endpoint: Endpoint, folder: Path) -> list[str]:
    """What a look from outside finds fault with when the server is published."""
    pair = make_self_signed(folder / "tls", ["127.0.0.1"])
    keys = {"shop": "key-of-the-shop-2f9a41c7"}
    with published(Settings(endpoint.base_url or "", pair=pair), keys, endpoint.api_key or "") as address:
        findings = list(Probe(address, keys["shop"], pair.certificate).look())
    return [finding.sentence for finding in findings if finding.state != "pass"]


async def ask(endpoint: Endpoint, prompts: list[str], at_once: int, commands: str) -> list[Completion]:
    async with ChatClient(endpoint, at_once, extra_body=request_extra(commands)) as chat:
        return await asyncio.gather(*(chat.complete([{"role": "user", "content": prompt}]) for prompt in prompts))


async def needs_its_key(endpoint: Endpoint) -> None:
    other = Endpoint(endpoint.base_url, endpoint.model, api_key="another-key")
    async with ChatClient(other, retries=0) as chat:
        with pytest.raises(ProviderError, match="401"):
            await chat.complete([{"role": "user", "content": "hello"}], max_tokens=1)


def inside(commands: str, answer: str) -> bool:
    """Whether the grammar derives the whole answer, by the engine that vLLM uses, over bytes."""
    import xgrammar

    vocabulary = [*(bytes([value]) for value in range(256)), b"<end>"]
    end = len(vocabulary) - 1
    tokens = xgrammar.TokenizerInfo(vocabulary, xgrammar.VocabType.RAW, stop_token_ids=[end])
    matcher = xgrammar.GrammarMatcher(xgrammar.GrammarCompiler(tokens).compile_grammar(commands))
    return bool(matcher.accept_string(answer) and matcher.accept_token(end))
