"""The client against a real server on loopback that answers as a script says; no test waits for the clock."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from core.errors import ProviderError, UsageError
from core.llm.cache import CompletionCache
from core.llm.client import ChatClient, Completion, Endpoint
from core.llm.failure import LONGEST_WAIT_SECONDS
from core.llm.pace import Clock
from core.llm.providers import address, key_variable

QUESTION = [{"role": "user", "content": "hello"}]


def completion(text: str | None) -> dict[str, Any]:
    return {
        "id": "1",
        "object": "chat.completion",
        "created": 0,
        "model": "small",
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}],
        "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10},
    }


@dataclass
class Answer:
    body: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def data(self) -> bytes:
        return self.body.encode() if isinstance(self.body, str) else json.dumps(self.body).encode()


class Server:
    """Gives the answers of a script in turn (the last one again and again), or what a function makes of a request."""

    def __init__(self, *script: Answer, answer: Callable[[dict[str, Any]], Answer] | None = None) -> None:
        self.requests: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.most_at_once = 0
        self._at_once = 0
        self._lock = threading.Lock()
        self._script, self._answer = list(script), answer
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with server._lock:
                    server.requests.append(request)
                    server.keys.append(self.headers["Authorization"])
                    server._at_once += 1
                    server.most_at_once = max(server.most_at_once, server._at_once)
                answer = server._next(request)
                with server._lock:
                    server._at_once -= 1
                with suppress(ConnectionError):  # who waited may have left
                    self.send_response(answer.status)
                    for name, value in ({"Content-Type": "application/json"} | answer.headers).items():
                        self.send_header(name, value)
                    self.send_header("Content-Length", str(len(answer.data)))
                    self.end_headers()
                    self.wfile.write(answer.data)

            def log_message(self, *_: object) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_port}/v1"

    def _next(self, request: dict[str, Any]) -> Answer:
        if self._answer is not None:
            return self._answer(request)
        with self._lock:
            return self._script.pop(0) if len(self._script) > 1 else self._script[0]

    @contextmanager
    def running(self) -> Iterator[Server]:
        thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield self
        finally:
            self._http.shutdown()
            self._http.server_close()
            thread.join()


class Sleeps(list[float]):
    """A clock whose sleeps take no time and are written down."""

    async def sleep(self, seconds: float) -> None:
        self.append(seconds)
        await asyncio.sleep(0)

    @property
    def clock(self) -> Clock:
        return Clock(lambda: time.monotonic() + sum(self), self.sleep)


async def ask(server: Server, *, sleeps: Sleeps | None = None, retries: int = 5, **endpoint: Any) -> Completion:
    async with ChatClient(
        Endpoint(server.url, "small", **endpoint), retries=retries, clock=(Sleeps() if sleeps is None else sleeps).clock
    ) as chat:
        return await chat.complete(QUESTION, max_tokens=50)


async def test_a_completion_with_its_tokens():
    with Server(Answer(completion("cancel flow"))).running() as server:
        answer = await ask(server)
    assert (answer.text, answer.prompt_tokens, answer.completion_tokens, answer.cached) == ("cancel flow", 7, 3, False)
    assert answer.seconds > 0
    assert server.requests == [{"model": "small", "messages": QUESTION, "temperature": 0.0, "max_tokens": 50}]


async def test_an_answer_without_text_is_empty():
    with Server(Answer(completion(None))).running() as server:
        assert (await ask(server)).text == ""


async def test_busy_servers_are_asked_again_after_the_time_they_ask_for():
    busy = Answer({"error": {"message": "slow down"}}, 429, {"Retry-After": "3"})
    down = Answer({"error": {"message": "starting"}}, 503)
    sleeps = Sleeps()
    with Server(busy, down, Answer(completion("ok"))).running() as server:
        assert (await ask(server, sleeps=sleeps)).text == "ok"
    assert sleeps[0] == pytest.approx(3, abs=0.1)
    assert 0.5 <= sleeps[1] <= 1.5  # the second pause, 1 s, give or take a half


async def test_pauses_grow_until_the_tries_are_used_up():
    sleeps = Sleeps()
    with (
        Server(Answer({"error": {"message": "out of order"}}, 500)).running() as server,
        pytest.raises(ProviderError, match=r"'small' at http://127.*refused: HTTP 500: out of order"),
    ):
        await ask(server, sleeps=sleeps, retries=3)
    assert len(server.requests) == 4
    assert all(0.25 * 2**n <= pause <= 0.75 * 2**n for n, pause in enumerate(sleeps))


async def test_a_server_that_asks_for_a_long_pause_is_given_up():
    later = Answer({"error": {"message": "no more today"}}, 429, {"Retry-After": str(LONGEST_WAIT_SECONDS + 1)})
    sleeps = Sleeps()
    with Server(later).running() as server, pytest.raises(ProviderError, match="it asks to come back in 121 s"):
        await ask(server, sleeps=sleeps)
    assert sleeps == []


@pytest.mark.parametrize(
    ("status", "key", "advice"),
    [
        (401, "A_KEY", "no: HTTP 401"),
        (401, "A_KEY", "check the key in A_KEY"),
        (403, None, "name the environment variable with its key"),
        (404, None, "check the address and the model's name"),
    ],
)
async def test_refusals_are_final_and_say_what_to_do(status, key, advice):
    sleeps = Sleeps()
    refusal = Answer({"error": {"message": f"no: HTTP {status}"}}, status)
    with Server(refusal).running() as server, pytest.raises(ProviderError, match=advice):
        await ask(server, sleeps=sleeps, api_key_variable=key)
    assert len(server.requests) == 1
    assert sleeps == []


@pytest.mark.parametrize(
    "body",
    [
        "<html>welcome</html>",
        "{",
        "[]",
        "{}",
        '{"choices": []}',
        '{"choices": [{}]}',
        '{"choices": [{"message": {"content": 5}}]}',
    ],
)
async def test_an_unreadable_answer_is_tried_again_and_then_said(body):
    with Server(Answer(body)).running() as server, pytest.raises(ProviderError, match="answered something unreadable"):
        await ask(server, retries=1)
    assert len(server.requests) == 2


async def test_nobody_listens():
    with Server(Answer(completion("ok"))).running() as server:
        pass
    with pytest.raises(ProviderError, match=r"cannot be reached: .*check the address"):
        await ask(server, retries=1)


async def test_a_server_that_does_not_answer():
    ended = threading.Event()

    def silent(request: dict[str, Any]) -> Answer:
        ended.wait()
        return Answer(completion("too late"))

    with Server(answer=silent).running() as server:
        try:
            with pytest.raises(ProviderError, match=r"did not answer within 0\.05 s; is the server busy or down\?"):
                await ask(server, retries=1, timeout_seconds=0.05)
        finally:
            ended.set()


async def test_models_that_take_no_temperature_and_another_word_for_the_length():
    """The refusals in the form reasoning models give them; each is met once and remembered."""

    def strict(request: dict[str, Any]) -> Answer:
        for name, code in (("max_tokens", "unsupported_parameter"), ("temperature", "unsupported_value")):
            if name in request:
                return Answer({"error": {"message": f"no {name}", "param": name, "code": code}}, 400)
        return Answer(completion("ok"))

    with Server(answer=strict).running() as server:
        async with ChatClient(Endpoint(server.url, "small"), clock=Sleeps().clock) as chat:
            assert (await chat.complete(QUESTION, max_tokens=50)).text == "ok"
            assert (await chat.complete(QUESTION, max_tokens=60)).text == "ok"
    assert len(server.requests) == 4
    assert server.requests[-1] == {"model": "small", "messages": QUESTION, "max_completion_tokens": 60}


async def test_another_refused_parameter_is_an_error():
    refusal = Answer({"error": {"message": "no messages", "param": "messages", "code": "unsupported_value"}}, 400)
    with Server(refusal).running() as server, pytest.raises(ProviderError, match="no messages"):
        await ask(server)


async def test_no_more_calls_at_once_than_allowed():
    both_are_here = threading.Barrier(2, timeout=5)

    def meet(request: dict[str, Any]) -> Answer:
        both_are_here.wait()
        return Answer(completion("ok"))

    with Server(answer=meet).running() as server:
        async with ChatClient(Endpoint(server.url, "small"), concurrency=2) as chat:
            await asyncio.gather(*(chat.complete(QUESTION) for _ in range(6)))
    assert len(server.requests) == 6
    assert server.most_at_once == 2


async def test_keys_and_addresses_come_from_the_environment(monkeypatch):
    with Server(Answer(completion("ok"))).running() as server:
        monkeypatch.setenv("THE_PLACE", server.url.removesuffix("/v1"))
        monkeypatch.setenv("THE_KEY", "sesame")
        async with ChatClient(Endpoint("${THE_PLACE}/v1", "small", "THE_KEY")) as chat:
            await chat.complete(QUESTION)
    assert server.keys == ["Bearer sesame"]


async def test_variables_that_are_not_set_are_named(monkeypatch):
    monkeypatch.delenv("THE_PLACE", raising=False)
    monkeypatch.delenv("THE_KEY", raising=False)
    with pytest.raises(UsageError, match=r"\$\{THE_PLACE\} needs the environment variable THE_PLACE"):
        ChatClient(Endpoint("${THE_PLACE}", "small"))
    with pytest.raises(UsageError, match="THE_KEY is not set; small needs its key there"):
        ChatClient(Endpoint(None, "small", "THE_KEY"))


def test_a_key_is_never_shown():
    assert "sesame" not in repr(Endpoint("http://127.0.0.1:1/v1", "small", api_key="sesame"))


async def test_the_same_request_is_asked_once(tmp_path):
    cache = CompletionCache(tmp_path / "cache" / "completions.sqlite")
    with Server(Answer(completion("one")), Answer(completion("two")), Answer(completion("three"))).running() as server:
        async with ChatClient(Endpoint(server.url, "small"), cache=cache) as chat:
            first = await chat.complete(QUESTION)
            again = await chat.complete(QUESTION)
            warmer = await chat.complete(QUESTION, temperature=0.7)
        async with ChatClient(Endpoint(server.url + "/", "small"), cache=cache) as elsewhere:
            other = await elsewhere.complete(QUESTION)
    cache.close()
    assert (again.text, again.cached, again.seconds) == ("one", True, first.seconds)
    assert (warmer.text, other.text) == ("two", "three")
    assert not other.cached


async def test_a_model_with_a_name_of_its_own_is_known_at_any_address(tmp_path):
    cache = CompletionCache(tmp_path / "completions.sqlite")
    with Server(Answer(completion("one"))).running() as server:
        async with ChatClient(Endpoint(server.url, "small"), cache=cache, cached_as="digest") as chat:
            await chat.complete(QUESTION)
    with Server(Answer(completion("two"))).running() as server:
        async with ChatClient(Endpoint(server.url, "small"), cache=cache, cached_as="digest") as chat:
            again = await chat.complete(QUESTION)
        async with ChatClient(Endpoint(server.url, "small"), cache=cache, cached_as="another") as chat:
            other = await chat.complete(QUESTION)
    cache.close()
    assert (again.text, again.cached, other.text) == ("one", True, "two")


async def test_what_goes_beside_the_protocol_is_sent_each_time_and_tells_completions_apart(tmp_path):
    cache = CompletionCache(tmp_path / "completions.sqlite")
    extra = {"structured_outputs": {"grammar": 'root ::= "ü"'}}
    script = [
        Answer(completion("plain")),
        Answer({"error": {"code": "unsupported_value", "param": "temperature", "message": "no"}}, 400),
        Answer(completion("held")),
        Answer(completion("other")),
    ]
    with Server(*script).running() as server:
        endpoint = Endpoint(server.url, "small")
        async with ChatClient(endpoint, cache=cache) as plain:
            await plain.complete(QUESTION)
        async with ChatClient(endpoint, cache=cache, extra_body=extra) as chat:
            held, again = await chat.complete(QUESTION), await chat.complete(QUESTION)
        async with ChatClient(endpoint, cache=cache, extra_body={"structured_outputs": {"grammar": "x"}}) as chat:
            other = await chat.complete(QUESTION)
        async with ChatClient(endpoint, cache=cache, extra_body={}) as plain:
            kept = await plain.complete(QUESTION)
    cache.close()
    assert [request.get("structured_outputs") for request in server.requests[:3]] == [
        None,
        *[extra["structured_outputs"]] * 2,
    ]
    assert "temperature" not in server.requests[2]
    assert not any("extra_body" in request for request in server.requests)
    assert [one.text for one in (held, again, other, kept)] == ["held", "held", "other", "plain"]
    assert [one.cached for one in (held, again, other, kept)] == [False, True, False, True]


def test_what_was_kept_survives_a_kill(tmp_path):
    path = tmp_path / "completions.sqlite"
    program = (
        "import os, signal, sys; from pathlib import Path\n"
        "from core.llm.cache import CompletionCache; from core.llm.client import Completion\n"
        "CompletionCache(Path(sys.argv[1])).put({'messages': ['ü']}, Completion('kept', 7, 3, 0.5))\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    assert subprocess.run([sys.executable, "-c", program, str(path)]).returncode == -9
    cache = CompletionCache(path)
    assert cache.get({"messages": ["ü"]}) == Completion("kept", 7, 3, 0.5)
    assert cache.get({"messages": ["u"]}) is None
    cache.close()


@pytest.mark.parametrize(
    ("provider", "given", "expected"),
    [
        ("openai", None, None),
        ("openai", "https://proxy.example/v1", "https://proxy.example/v1"),
        ("azure", None, "${AZURE_API_BASE}/openai/v1"),
        ("azure", "https://mine.openai.azure.com/", "https://mine.openai.azure.com/openai/v1"),
        ("azure", "https://mine.openai.azure.com/openai/v1/", "https://mine.openai.azure.com/openai/v1/"),
        ("ollama", None, "http://127.0.0.1:11434/v1"),
        ("self-hosted", "http://10.0.0.5:8000/v1", "http://10.0.0.5:8000/v1"),
        ("somebody", "https://somebody.example/v1", "https://somebody.example/v1"),
    ],
)
def test_addresses_of_providers(provider, given, expected):
    assert address(provider, given) == expected


@pytest.mark.parametrize("provider", ["self-hosted", "somebody"])
def test_a_provider_of_ones_own_needs_an_address(provider):
    with pytest.raises(UsageError, match=f"the provider {provider} needs api_base in endpoints.yml"):
        address(provider, None)


def test_keys_of_providers():
    assert [key_variable(name) for name in ("openai", "anthropic", "somebody")] == [
        "OPENAI_API_KEY",
        "ANTHROPIC_API_KEY",
        None,
    ]
