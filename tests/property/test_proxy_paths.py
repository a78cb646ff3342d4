"""However a request is spelled, the server behind the proxy sees one of the four addresses with its one method, and whole requests only."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.serving.proxy.forwarding import OPEN
from core.serving.proxy.server import Settings
from tests.rigs.proxied import proxied, published

KEY = "key-of-the-shop-2f9a41c7"


class Recorder:
    """A server that answers anything with 200 and keeps each request as it came."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, bytes]] = []
        """Method, target and body."""
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}/v1"
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                threading.Thread(target=self._answer, args=(client,), daemon=True).start()

    def _answer(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError), client, client.makefile("rb") as said:
            while line := said.readline():
                length = 0
                while (header := said.readline().lower().strip()) != b"":
                    if header.startswith(b"content-length:"):
                        length = int(header.partition(b":")[2])
                method, target, _ = line.decode("latin-1").split(" ")
                self.requests.append((method, target, said.read(length)))
                client.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")


@pytest.fixture(scope="module")
def recorder() -> Iterator[Recorder]:
    recorder = Recorder()
    yield recorder
    recorder.close()


@pytest.fixture(scope="module", params=["plain", "guarded"])
def port(request: pytest.FixtureRequest, recorder: Recorder) -> Iterator[int]:
    opened = proxied(recorder.url, {}) if request.param == "plain" else published(_unlimited(recorder), {"shop": KEY})
    with opened as address:
        yield int(address.removesuffix("/v1").rpartition(":")[2])


def _unlimited(recorder: Recorder) -> Settings:
    return Settings(recorder.url, requests_per_minute=10**7)


def sent(port: int, data: bytes, patience: float = 10.0) -> bytes:
    """What is answered until the other side closes, or says nothing more for so many seconds."""
    with socket.create_connection(("127.0.0.1", port), patience) as connection:
        answer = b""
        with contextlib.suppress(ConnectionError, TimeoutError):
            connection.sendall(data)
            while part := connection.recv(65536):
                answer += part
        return answer


def head(method: str, target: str, *more: str) -> bytes:
    lines = [f"{method} {target} HTTP/1.1", "Host: x", f"Authorization: Bearer {KEY}", *more, "", ""]
    return "\r\n".join(lines).encode("latin-1")


PIECES = st.sampled_from(
    ["/", "//", "v1", "chat", "completions", "models", "health", "metrics", "..", ".", "%2e%2e", "%2E", "%2f", "%5c", "\\", ";x", "?x=1",
     "#x", "%00", "%0d%0a", "%20", "http://x", "@", ":80", "V1", "%76", "tokenize", "*", "%c0%ae", "%ff", "é"]
)  # fmt: skip
INSERTED = st.sampled_from(list(OPEN)).flatmap(
    lambda path: st.tuples(st.integers(0, len(path)), PIECES).map(lambda cut: path[: cut[0]] + cut[1] + path[cut[0] :])
)
ENCODED = st.sampled_from(list(OPEN)).flatmap(
    lambda path: st.integers(0, len(path) - 1).map(lambda at: f"{path[:at]}%{ord(path[at]):02x}{path[at + 1 :]}")
)
TARGETS = INSERTED | ENCODED | st.lists(PIECES, min_size=1, max_size=6).map("".join)
METHODS = st.sampled_from(["GET", "POST", "PUT", "HEAD", "OPTIONS", "DELETE", "get", "PoST", "CONNECT", "TRACE", "PATCH"])


@settings(max_examples=400, deadline=None)
@given(METHODS, TARGETS)
def test_no_spelling_reaches_anything_else(port: int, recorder: Recorder, method: str, target: str) -> None:
    before = len(recorder.requests)
    answer = sent(port, head(method, target, "Content-Length: 2", "Connection: close") + b"{}")
    passed = recorder.requests[before:]
    if OPEN.get(target.partition("?")[0]) == method:
        assert [(one, path) for one, path, _ in passed] == [(method, target.partition("?")[0])]
    else:
        assert passed == []
        assert answer.split(b" ", 2)[1:2] in ([b"400"], [b"404"], [b"405"], []), answer


@pytest.mark.parametrize(
    "target",
    ["//v1/chat/completions", "/v1//chat/completions", "/v1/chat/completions/", "/v1/chat/completions;x", "/v1/%63hat/completions",
     "/v1/chat%2fcompletions", "/%2e%2e/v1/chat/completions", "/./v1/chat/completions", "/V1/chat/completions",
     "http://127.0.0.1/v1/chat/completions", "http://x/metrics", "https://x:1/v1/models", "*"],
)  # fmt: skip
def test_known_tricks_are_refused(port: int, recorder: Recorder, target: str) -> None:
    before = len(recorder.requests)
    for method in ("POST", "GET"):
        assert sent(port, head(method, target, "Content-Length: 2", "Connection: close") + b"{}").split(b" ", 2)[1] in (b"400", b"404")
    assert len(recorder.requests) == before


SMUGGLED = head("GET", "/metrics")


@pytest.mark.parametrize(
    "framing",
    [
        ("Content-Length: 2", "Transfer-Encoding: chunked"),
        ("Transfer-Encoding: chunked", "Content-Length: 2"),
        ("Transfer-Encoding: chunked", "Transfer-Encoding: chunked"),
        ("Transfer-Encoding: chunked", "Transfer-Encoding: identity"),
        ("Transfer-Encoding: identity, chunked",),
        ("Transfer-Encoding:\tchunked", "Content-Length: 7"),
        ("Transfer-Encoding: xchunked",),
        ("Content-Length: 2", f"Content-Length: {len(SMUGGLED)}"),
        ("Content-Length: 2, 3",),
        ("Content-Length: +2",),
        ("Content-Length: 0x2",),
        ("Content-Length : 2",),
        ("Transfer-Encoding : chunked", "Content-Length: 7"),
        ("Transfer-Encoding\x0b: chunked", "Content-Length: 7"),
        ("X: y\rTransfer-Encoding: chunked", "Content-Length: 7"),
    ],
)
def test_requests_whose_end_is_in_doubt_are_refused_and_nothing_after_them_is_read(
    port: int, recorder: Recorder, framing: tuple[str, ...]
) -> None:
    before = len(recorder.requests)
    answer = sent(port, head("POST", "/v1/completions", *framing) + b"2\r\n{}\r\n0\r\n\r\n" + SMUGGLED)
    assert answer.split(b" ", 2)[1] in (b"400", b"501"), answer
    assert answer.count(b"HTTP/1.1") == 1, "the connection ends"
    assert recorder.requests[before:] == []


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from([
    "Content-Length: 2", "Content-Length: 40", "content-length:2", "Transfer-Encoding: chunked", "transfer-encoding: Chunked",
    "Transfer-Encoding: gzip, chunked", "Connection: keep-alive", "Connection: close", "Connection: content-length",
    "Expect: 100-continue", "Upgrade: h2c", "Trailer: content-length", "X-HTTP-Method-Override: GET", "X-Original-URL: /metrics",
    "X-Rewrite-URL: /metrics", "Content-Encoding: gzip",
]), max_size=4), st.sampled_from([b"{}", b"2\r\n{}\r\n0\r\n\r\n", b"{}" + SMUGGLED, b"2\r\n{}\r\n0\r\n\r\n" + SMUGGLED, SMUGGLED]))
def test_whatever_frames_a_request_only_open_addresses_are_reached(
    port: int, recorder: Recorder, framing: list[str], rest: bytes
) -> None:
    before = len(recorder.requests)
    sent(port, head("POST", "/v1/completions", *framing) + rest, patience=0.1)
    for method, target, body in recorder.requests[before:]:
        assert OPEN.get(target) == method
        assert body == (b"{}" if method == "POST" else b"")
