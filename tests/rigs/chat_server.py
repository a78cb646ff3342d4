"""An OpenAI-compatible endpoint on loopback whose answers a test writes, and which misbehaves on command."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Fault:
    """How one request is treated instead of being answered."""

    status: int = 200
    retry_after: float | None = None
    raw: bytes | None = None
    """Sent in the place of a completion."""
    cut: bool = False
    """The connection ends in the middle of the body."""
    hang: bool = False
    """Nothing is sent until the server ends."""


BUSY = Fault(429)
BROKEN = Fault(500)
HANG = Fault(hang=True)
HALF_A_BODY = Fault(cut=True)
NOT_JSON = Fault(raw=b"<html>welcome</html>")


class ChatServer:
    """Answers each prompt with `reply(prompt)` and keeps the prompts; the first requests meet `faults`, one each."""

    def __init__(
        self, reply: Callable[[str], str], faults: Iterable[Fault | None] = (), first_token_seconds: float = 0.0
    ) -> None:
        """`first_token_seconds` pass before each answer."""
        self.prompts: list[str] = []
        self.bodies: list[dict[str, Any]] = []
        self.requests: list[tuple[str, str | None]] = []
        """Path and authorization of each."""
        self.most_at_once = 0
        self.ended, self.second_half = threading.Event(), threading.Event()
        self.reply, self._faults, self._wait = reply, iter(faults), first_token_seconds
        self._at_once, self._lock = 0, threading.Lock()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                server.requests.append((self.path, self.headers["Authorization"]))
                self._send(Fault(), json.dumps({"object": "list", "data": [{"id": "any", "object": "model"}]}).encode())

            def do_POST(self) -> None:
                server.requests.append((self.path, self.headers["Authorization"]))
                request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if "messages" not in request:
                    self._send(Fault(400), b'{"error": {"message": "messages: Field required"}}')
                    return
                with server._counted() as fault, suppress(ConnectionError):
                    if fault is not None and fault.hang:
                        server.ended.wait()
                        self.close_connection = True
                        return
                    time.sleep(server._wait)
                    data = server._body(request, fault)
                    if request.get("stream") and fault is None:
                        self._stream(json.loads(data)["choices"][0]["message"]["content"])
                    else:
                        self._send(fault or Fault(), data)

            def _stream(self, text: str) -> None:
                """A letter an event; the second half waits for `second_half`."""
                self.send_response(200)
                self.send_header("Content-Type", "text/event-stream")
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                for number, letter in enumerate(text):
                    if number == len(text) // 2:
                        server.second_half.wait(30)
                    event = f"data: {json.dumps({'choices': [{'index': 0, 'delta': {'content': letter}}]})}\n\n".encode()
                    self.wfile.write(f"{len(event):x}\r\n".encode() + event + b"\r\n")
                end = b"data: [DONE]\n\n"
                self.wfile.write(f"{len(end):x}\r\n".encode() + end + b"\r\n0\r\n\r\n")

            def _send(self, fault: Fault, data: bytes) -> None:
                self.send_response(fault.status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                if fault.retry_after is not None:
                    self.send_header("Retry-After", str(fault.retry_after))
                self.end_headers()
                self.wfile.write(data[: len(data) // 2] if fault.cut else data)
                self.close_connection = self.close_connection or fault.cut

            def log_message(self, *_: object) -> None:
                pass

        class Http(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

        self._http = Http(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_port}/v1"

    def fail_with(self, faults: Iterable[Fault | None]) -> None:
        """The next requests meet these, one each."""
        with self._lock:
            self._faults = iter(faults)

    @contextmanager
    def _counted(self) -> Iterator[Fault | None]:
        with self._lock:
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
            fault = next(self._faults, None)
        try:
            yield fault
        finally:
            with self._lock:
                self._at_once -= 1

    def _body(self, request: dict[str, Any], fault: Fault | None) -> bytes:
        if fault is not None and fault.raw is not None:
            return fault.raw
        if fault is not None and fault.status != 200:
            return json.dumps({"error": {"message": "not now"}}).encode()
        prompt = request["messages"][-1]["content"]
        self.prompts.append(prompt)
        self.bodies.append(request)
        return json.dumps(completion(self.reply(prompt), prompt, request["model"])).encode()

    @contextmanager
    def running(self) -> Iterator[ChatServer]:
        thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield self
        finally:
            self.ended.set()
            self._http.shutdown()
            self._http.server_close()
            thread.join()


def completion(text: str, prompt: str, model: str) -> dict[str, Any]:
    """A chat completion as the protocol has it; a token is four characters."""
    read, written = len(prompt) // 4, len(text) // 4
    return {
        "id": "1",
        "object": "chat.completion",
        "created": 0,
        "model": model,
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}],
        "usage": {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written},
    }
