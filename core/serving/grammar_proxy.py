"""A proxy that adds the grammar of an assistant's commands to requests, for clients that cannot send one.

It stands between an assistant and a server of its tuned model and knows the four addresses a client needs; the rest of the server stays
out of reach. Requests that bring a form of their own (`structured_outputs`, `response_format`, tools) pass as they are.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any

import httpx
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from core.errors import UsageError

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

LARGEST_BODY = 16 * 2**20
"""Bytes of a request; prompts of commands have some thousands."""
CONNECT_SECONDS = 10.0
ANSWER_SECONDS = 600.0
_OWN_FORMS = ("structured_outputs", "response_format", "tools")
_SENT_ON = ("authorization", "content-type", "accept", "x-request-id")
_SENT_BACK = ("content-type", "content-encoding", "retry-after", "www-authenticate", "x-request-id")


def with_extra(body: bytes, extra: Mapping[str, Any]) -> bytes:
    """The request with `extra` beside what it has, unless it brings a form of its own. Raises ValueError when it is not a JSON object."""
    request = json.loads(body)
    if not isinstance(request, dict):
        raise ValueError("not an object")
    if any(request.get(name) for name in _OWN_FORMS):
        return body
    return json.dumps({**request, **extra}, ensure_ascii=False).encode()


def application(to: str, extra: Mapping[str, Any], transport: httpx.AsyncBaseTransport | None = None) -> Starlette:
    """An ASGI application in front of the server at `to`, such as http://127.0.0.1:8000/v1. Raises UsageError when that is no address.

    Keys go through as the client sends them; none is kept. `transport` replaces the network in tests.
    """
    base = _address(to)
    root = to.rstrip("/").removesuffix("/v1")
    timeout = httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS)
    server = httpx.AsyncClient(timeout=timeout, transport=transport, limits=httpx.Limits(max_connections=None))

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with server:
            yield

    async def completed(request: Request) -> Response:
        try:
            body = with_extra(await _body(request), extra)
        except ValueError:
            return _refused(400, "the body of the request is not a JSON object")
        return await sent_on(request, body)

    async def looked_up(request: Request) -> Response:
        return await sent_on(request, None)

    async def sent_on(request: Request, body: bytes | None) -> Response:
        headers = {name: request.headers[name] for name in _SENT_ON if name in request.headers}
        asked = server.build_request(request.method, root + request.url.path, headers=headers, content=body)
        try:
            answer = await server.send(asked, stream=True)
        except httpx.TimeoutException:
            return _refused(504, f"the model server at {base.host} did not answer in time")
        except httpx.HTTPError as error:
            return _refused(502, f"the model server at {base.host} cannot be reached: {error}")
        kept = {name: answer.headers[name] for name in _SENT_BACK if name in answer.headers}
        return _Passed(answer, kept)

    return Starlette(
        routes=[
            Route("/v1/chat/completions", completed, methods=["POST"]),
            Route("/v1/completions", completed, methods=["POST"]),
            Route("/v1/models", looked_up, methods=["GET"]),
            Route("/health", looked_up, methods=["GET"]),
        ],
        exception_handlers={HTTPException: _not_here},
        lifespan=lifespan,
    )


class _Passed(StreamingResponse):
    """An answer of the server, passed on as it comes; the server is let go when the client leaves."""

    def __init__(self, answer: httpx.Response, headers: Mapping[str, str]) -> None:
        super().__init__(answer.aiter_raw(), answer.status_code, headers)
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._answer.aclose()


def _address(to: str) -> httpx.URL:
    with contextlib.suppress(httpx.InvalidURL):
        address = httpx.URL(to)
        if address.scheme in ("http", "https") and address.host:
            return address
    raise UsageError(f"{to!r} is no address of a server; give one such as http://127.0.0.1:8000/v1")


async def _body(request: Request) -> bytes:
    """Raises HTTPException when it is too large to be meant."""
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > LARGEST_BODY:
            raise HTTPException(413, f"a request may have {LARGEST_BODY:,} bytes")
    return bytes(body)


def _refused(status: int, message: str) -> JSONResponse:
    """An error as clients of the protocol read it."""
    kind = "invalid_request_error" if status < 500 else "server_error"
    return JSONResponse({"error": {"message": message, "type": kind, "code": status}}, status)


async def _not_here(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code in (404, 405):
        return _refused(error.status_code, f"{request.method} {request.url.path} is not let through")
    return _refused(error.status_code, error.detail)
