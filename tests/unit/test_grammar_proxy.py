"""The proxy that adds a grammar: what it adds, what it lets through, how it fails. Real servers on loopback on both sides."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack

import httpx
import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import demo
from core.errors import UsageError
from core.serving.proxy.forwarding import LARGEST_BODY, application, with_extra
from tests.rigs.chat_server import BROKEN, BUSY, ChatServer, Fault
from tests.rigs.proxied import proxied

EXTRA = {"structured_outputs": {"grammar": 'root ::= "größe"'}}


@pytest.fixture
def model() -> Iterator[ChatServer]:
    with ChatServer(lambda prompt: f"said {prompt}").running() as server:
        yield server


def client(address: str, key: str = "of the client") -> openai.OpenAI:
    return openai.OpenAI(base_url=address, api_key=key, max_retries=0)


def asked(address: str, **more: object) -> str | None:
    messages = [{"role": "user", "content": "hi"}]
    with client(address) as asking:
        answer = asking.chat.completions.create(model="any", messages=messages, **more)  # type: ignore[call-overload]
    text: str | None = answer.choices[0].message.content
    return text


def test_a_request_gets_the_grammar_and_keeps_what_it_has(model: ChatServer) -> None:
    with proxied(model.url, EXTRA) as address:
        assert asked(address, temperature=0.5, seed=3) == "said hi"
    (body,) = model.bodies
    assert {name: body[name] for name in ("model", "messages", "temperature", "seed")} == {
        "model": "any",
        "messages": [{"role": "user", "content": "hi"}],
        "temperature": 0.5,
        "seed": 3,
    }
    assert {"structured_outputs": body["structured_outputs"]} == EXTRA
    assert model.requests == [("/v1/chat/completions", "Bearer of the client")]


@pytest.mark.parametrize(
    "own",
    [
        {"response_format": {"type": "json_object"}},
        {"extra_body": {"structured_outputs": {"choice": ["a"]}}},
        {"tools": [{"type": "function", "function": {"name": "f"}}]},
    ],
)
def test_a_form_of_the_client_is_not_overruled(model: ChatServer, own: dict[str, object]) -> None:
    with proxied(model.url, EXTRA) as address:
        asked(address, **own)
    assert model.bodies[0].get("structured_outputs") == own.get("extra_body", {}).get("structured_outputs")  # type: ignore[attr-defined]


def test_a_stream_comes_piece_by_piece(model: ChatServer) -> None:
    with proxied(model.url, EXTRA) as address, client(address) as asking:
        stream = asking.chat.completions.create(
            model="any", messages=[{"role": "user", "content": "hi"}], stream=True
        )
        pieces = []
        for event in stream:
            pieces.append(event.choices[0].delta.content)
            if len(pieces) == len("said hi") // 2:
                model.second_half.set()  # the server writes no more before this half has arrived
        assert "".join(filter(None, pieces)) == "said hi"
    assert model.bodies[0]["structured_outputs"] == EXTRA["structured_outputs"]


def test_models_and_health_are_looked_up_and_nothing_else(model: ChatServer) -> None:
    with proxied(model.url, EXTRA) as address, client(address) as asking:
        assert [one.id for one in asking.models.list()] == ["any"]
        root = address.removesuffix("/v1")
        assert httpx.get(root + "/health").status_code == 200
        for method, path in [("GET", "/metrics"), ("POST", "/v1/load_lora_adapter"), ("GET", "/v1/chat/completions"),
                             ("GET", "/v1/../metrics"), ("POST", "/health"), ("GET", "/v1/models/any")]:  # fmt: skip
            answer = httpx.request(method, root + path)
            assert answer.status_code in (404, 405)
            assert answer.json()["error"]["message"].endswith("is not let through")
    assert {path for path, _ in model.requests} == {"/v1/models", "/health"}


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (BUSY, openai.RateLimitError),
        (Fault(429, retry_after=7.0), openai.RateLimitError),
        (BROKEN, openai.InternalServerError),
    ],
)
def test_refusals_of_the_server_are_passed_on(fault: Fault, error: type[openai.APIStatusError]) -> None:
    with ChatServer(str, [fault]).running() as model, proxied(model.url, EXTRA) as address:
        with pytest.raises(error) as found:
            asked(address)
        assert "not now" in str(found.value)
        wait = str(fault.retry_after) if fault.retry_after else None
        assert found.value.response.headers.get("retry-after") == wait


def test_a_server_that_is_gone_is_said_to_be() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with proxied(f"http://127.0.0.1:{port}/v1", EXTRA) as address:
        answer = httpx.post(address + "/chat/completions", json={"messages": []})
        assert answer.status_code == 502
        assert "cannot be reached" in answer.json()["error"]["message"]
        assert httpx.get(address + "/models").status_code == 502


def test_a_connection_that_the_server_closed_meanwhile_is_opened_again() -> None:
    def once(listening: socket.socket) -> None:
        """Answer one request a connection and promise another one."""
        for _ in range(2):
            client, _ = listening.accept()
            with client:
                said = b""
                while not said.endswith(b"}"):
                    said += client.recv(65536)
                client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\n{}")
                client.recv(1)  # closed once the next request has begun

    with socket.create_server(("127.0.0.1", 0)) as listening:
        answering = threading.Thread(target=once, args=(listening,), daemon=True)
        answering.start()
        with proxied(f"http://127.0.0.1:{listening.getsockname()[1]}/v1", EXTRA) as address:
            statuses = [httpx.post(address + "/chat/completions", json={}).status_code for _ in range(2)]
    assert statuses == [200, 200]


def test_a_body_that_is_no_request_stays_here(model: ChatServer) -> None:
    with proxied(model.url, EXTRA) as address:
        for body in (b"", b"[]", b"{", b'"a"', b"\xff{}"):
            answer = httpx.post(address + "/chat/completions", content=body)
            assert (answer.status_code, answer.json()["error"]["type"]) == (400, "invalid_request_error")
        large = httpx.post(address + "/completions", content=b" " * (LARGEST_BODY + 1))
        assert large.status_code == 413
    assert model.requests == []


def test_clients_that_leave_let_the_server_go(model: ChatServer) -> None:
    with proxied(model.url, EXTRA) as address:
        body = {"model": "any", "messages": [{"role": "user", "content": "hi " * 200}], "stream": True}
        for _ in range(3):
            with httpx.stream("POST", address + "/chat/completions", json=body) as answer:
                next(answer.iter_lines())
        model.second_half.set()
        body["stream"] = False
        assert httpx.post(address + "/chat/completions", json=body).status_code == 200


@pytest.mark.parametrize("to", ["", "foo", "localhost:8000", "ftp://127.0.0.1", "http://", "http://[::1"])
def test_what_is_no_address_is_refused(to: str) -> None:
    with pytest.raises(UsageError, match="is no address of a server"):
        application(to, EXTRA)


@given(
    st.dictionaries(st.text(max_size=8), st.recursive(st.none() | st.integers() | st.text(), st.lists, max_leaves=5)),
)
def test_adding_changes_nothing_else(request: dict[str, object]) -> None:
    body = json.dumps(request).encode()
    added = json.loads(with_extra(body, EXTRA))
    own = any(request.get(name) for name in ("structured_outputs", "response_format", "tools"))
    assert added == (request if own else {**request, **EXTRA})


def test_the_command_stands_before_a_server_until_it_is_stopped(model: ChatServer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    command = [sys.executable, "-m", "tui.cli", "proxy", str(demo.assistant_folder()), "--to", model.url, "--port", port]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process, ExitStack() as stopping:
        assert process.stderr is not None
        stopping.callback(process.kill)
        assert f"http://127.0.0.1:{port}/v1 adds the grammar" in process.stderr.readline()
        assert asked(f"http://127.0.0.1:{port}/v1") == "said hi"
        taken = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (taken.returncode, taken.stderr.count("\n")) == (2, 1)
        assert f"cannot listen on 127.0.0.1, port {port}" in taken.stderr
        process.send_signal(signal.SIGINT)
        said = process.stderr.read()
    assert "Traceback" not in said
    assert '"book_bed"' in model.bodies[0]["structured_outputs"]["grammar"]


def test_the_grammar_is_printed() -> None:
    def printed(*options: str) -> str:
        command = [sys.executable, "-m", "tui.cli", "grammar", str(demo.assistant_folder()), *options]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    assert printed().startswith("root ::= command")
    assert '"StartFlow(" flow ")"' in printed("--dialect", "v1")
    assert json.loads(printed("--json"))["structured_outputs"]["grammar"].rstrip("\n") == printed().rstrip("\n")
