"""A model server that anyone may ask anything, as vLLM is when it is published as it comes; it knows the paths it is told."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from core.serving.proxy.forwarding import OPEN


@contextmanager
def wide_open(paths: dict[str, str], key: str = "") -> Iterator[str]:
    """The address of a server with the four addresses and `paths` (→ method); with a `key` those under /v1 want it, as vLLM's do."""

    async def answer(request: Request) -> Response:
        if key and request.url.path.startswith("/v1") and request.headers.get("authorization") != f"Bearer {key}":
            return JSONResponse({"error": "Unauthorized"}, 401)
        if request.method == "POST":  # what is wanted is missing
            return JSONResponse({"error": "messages: Field required"}, 400)
        return JSONResponse({"version": "0.33.0"})

    async def socket(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.close()

    routes = [Route(path, answer, methods=[method]) for path, method in {**OPEN, **paths}.items()]
    every = Middleware(CORSMiddleware, allow_origins=["*"], allow_methods=["*"])
    app = Starlette(routes=[*routes, WebSocketRoute("/v1/realtime", socket)], middleware=[every])
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            time.sleep(0.01)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
