"""An engine on loopback for the real docker client: it answers as docker's would and starts nothing, but keeps what it was asked."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class DockerEngine:
    """Containers that were asked for: (name, body of the request), and those started."""

    address: str
    """For DOCKER_HOST."""
    created: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    started: list[str] = field(default_factory=list)


@contextmanager
def docker_engine() -> Iterator[DockerEngine]:
    """An engine for as long as the block lasts."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self._send(200)

        def do_GET(self) -> None:
            self._send(200, "OK")

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            _, path = self.path.split("/containers/", 1)
            if path.startswith("create"):
                engine.created.append((path.partition("name=")[2], json.loads(body)))
                self._send(201, {"Id": "c0ffee", "Warnings": []})
            elif path.endswith("/start"):
                engine.started.append(path.removesuffix("/start"))
                self._send(204)
            else:
                self._send(200, {"StatusCode": 0})  # the client waits for its end

        def _send(self, status: int, content: Any = None) -> None:
            data = b"" if content is None else json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Api-Version", "1.43")
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    engine = DockerEngine(f"tcp://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield engine
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
