"""The grammar proxy on loopback, as a server of its own."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import uvicorn

from core.serving.grammar_proxy import application


@contextmanager
def proxied(to: str, extra: Mapping[str, Any]) -> Iterator[str]:
    """The address of a proxy, as clients take it."""
    server = uvicorn.Server(uvicorn.Config(application(to, extra), log_level="error", lifespan="on"))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        try:
            while not server.started:
                time.sleep(0.01)
            yield f"http://127.0.0.1:{listening.getsockname()[1]}/v1"
        finally:
            server.should_exit = True
            thread.join()
