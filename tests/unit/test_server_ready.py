"""A model server counts as ready when it has answered; one that cannot ends as a sentence. A real process stands in for vLLM."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from core.errors import ProviderError, StepFailed
from core.llm.client import ChatClient
from core.serving.server import ModelServer, ServerPlan, plan_server, wait_until_ready
from tests.rigs import vllm_stand_in


@pytest.fixture
def plan(tmp_path, monkeypatch) -> ServerPlan:
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "env"))
    monkeypatch.setenv("PATH", "/nowhere")  # no nvidia-smi: the form of vLLM's CPU build
    python = vllm_stand_in.install(tmp_path / "env")
    (tmp_path / "model").mkdir()
    return plan_server(tmp_path / "model", "tuned", "vllm", python=str(python))


async def test_a_server_that_answers_and_keeps_to_a_grammar_is_ready_and_ends(plan, tmp_path):
    async with ModelServer(plan, tmp_path / "run" / "server.log") as server:
        async with ChatClient(plan.endpoint) as chat:
            assert (await chat.complete([{"role": "user", "content": "hi"}])).text == "hello"
        assert server._process is not None
    assert server._process.returncode is not None


@pytest.mark.parametrize(
    ("way", "sentence"),
    [
        ("other", r"serves another and not tuned; does another one use its port\?"),
        ("broken", r"started and does not answer: .*refused: HTTP 500: EngineCore encountered an issue"),
        ("dies", r"ended at its first request: torch.OutOfMemoryError: CUDA out of memory"),
        ("old", r"does not keep to grammars \(structured_outputs\); it takes vLLM 0.11 or newer"),
    ],
)
async def test_a_server_that_cannot_answer_ends_as_a_sentence(plan, tmp_path, monkeypatch, way, sentence):
    monkeypatch.setenv("STAND_IN", way)
    server = ModelServer(plan, tmp_path / "run" / "server.log")
    with pytest.raises(StepFailed, match=sentence):
        await server.__aenter__()
    assert server._process is not None
    assert server._process.returncode is not None, "it is ended"


@contextmanager
def running(plan: ServerPlan, **environment: str) -> Iterator[None]:
    with subprocess.Popen(plan.command, env={"PYTHONPATH": os.environ["PYTHONPATH"], **environment}) as process:
        try:
            yield
        finally:
            process.kill()


async def test_a_server_that_stays_unhealthy_is_not_waited_for_forever(plan):
    with running(plan, STAND_IN="sick"), pytest.raises(ProviderError, match=r"within 3 s \(its /health answers 503\)"):
        await wait_until_ready(plan.endpoint, lambda: None, 3.0)


async def test_another_server_with_another_key_is_told(plan):
    refused = pytest.raises(StepFailed, match=r"started and does not answer: .*refused: HTTP 401")
    with running(plan, VLLM_API_KEY="of someone else"), refused:
        await wait_until_ready(plan.endpoint, lambda: None)


def test_the_key_is_no_argument(plan):
    assert plan.secrets["VLLM_API_KEY"] == plan.endpoint.api_key
    assert not any(plan.secrets["VLLM_API_KEY"] in word for word in plan.command)


def test_a_tool_on_the_path_is_run_by_its_own_interpreter(tmp_path, monkeypatch):
    python = vllm_stand_in.install(tmp_path / "env")
    (tmp_path / "env" / "bin" / "vllm").chmod(0o755)
    (tmp_path / "local").mkdir()
    (tmp_path / "local" / "vllm").symlink_to(tmp_path / "env" / "bin" / "vllm")
    monkeypatch.setenv("PATH", str(tmp_path / "local"))
    plan = plan_server(Path(tmp_path), "tuned", "vllm")
    assert plan.command[:3] == (str(python), "-m", vllm_stand_in.MODULE)
