"""What goes through to the model server: four addresses, with the grammar of an assistant's commands added to requests that have none.

The rest of the server stays out of reach. A request's address must be written exactly as it is listed: nothing is decoded, shortened or
corrected, so that no other spelling can mean something else to the server behind. Requests that bring a form of their own
(`structured_outputs`, `response_format`, tools) pass as they are.
"""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any

import httpx
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Router

from core.errors import UsageError

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

OPEN: Mapping[str, str] = {
    "/v1/chat/completions": "POST",
    "/v1/completions": "POST",
    "/v1/models": "GET",
    "/health": "GET",
}
"""Address → the one method it may be asked with."""
LARGEST_BODY = 16 * 2**20
"""Bytes of a request; prompts of commands have some thousands."""
CONNECT_SECONDS = 10.0
ANSWER_SECONDS = 600.0
_OWN_FORMS = ("structured_outputs", "response_format", "tools")
_SENT_ON = ("content-type", "accept", "x-request-id")
_SENT_BACK = ("content-type", "content-encoding", "retry-after", "www-authenticate", "x-request-id")
_log = logging.getLogger(__name__)


def with_extra(body: bytes, extra: Mapping[str, Any]) -> bytes:
    """The request with `extra` beside what it has, unless it brings a form of its own. Raises ValueError when it is not a JSON object."""
    request = json.loads(body)
    if not isinstance(request, dict):
        raise ValueError("not an object")
    if not extra or any(request.get(name) for name in _OWN_FORMS):
        return body
    return json.dumps({**request, **extra}, ensure_ascii=False).encode()


def application(
    to: str,
    extra: Mapping[str, Any],
    transport: httpx.AsyncBaseTransport | None = None,
    *,
    server_key: str | None = None,
    largest_body: int = LARGEST_BODY,
) -> ASGIApp:
    """An ASGI application in front of the server at `to`, such as http://127.0.0.1:8000/v1. Raises UsageError when that is no address.

    Keys go through as clients send them; with a `server_key` it is sent in their place, none when it is "". `largest_body` in bytes;
    `transport` replaces the network in tests.
    """
    _require_address(to)
    root = to.rstrip("/").removesuffix("/v1")
    timeout = httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS)
    server = httpx.AsyncClient(timeout=timeout, transport=transport, limits=httpx.Limits(max_connections=None))

    @contextlib.asynccontextmanager
    async def lifespan(_: Any) -> AsyncIterator[None]:
        async with server:
            yield

    async def asked(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        request = Request(scope, receive)
        try:
            answer = await answered(request, require_open(scope))
        except HTTPException as refusal:
            answer = refused(refusal)
        except ClientDisconnect:
            return
        await answer(scope, receive, send)

    async def answered(request: Request, path: str) -> Response:
        body = None
        if request.method == "POST":
            try:
                body = with_extra(await _body(request, largest_body), extra)
            except (ValueError, RecursionError):
                raise HTTPException(400, "the body of the request is not a JSON object") from None
        headers = {name: request.headers[name] for name in _SENT_ON if name in request.headers}
        if server_key is None and "authorization" in request.headers:
            headers["authorization"] = request.headers["authorization"]
        elif server_key:
            headers["authorization"] = f"Bearer {server_key}"
        try:
            answer = await _sent(server, server.build_request(request.method, root + path, headers=headers, content=body))
        except httpx.TimeoutException:
            raise HTTPException(504, "the model server did not answer in time") from None
        except httpx.HTTPError as error:
            _log.warning("the model server at %s cannot be reached: %s", root, str(error) or type(error).__name__)
            raise HTTPException(502, "the model server cannot be reached") from error
        if path == "/health":  # that it lives is all that whoever asks may know
            await answer.aclose()
            return Response(status_code=200 if answer.is_success else 503)
        kept = {name: answer.headers[name] for name in _SENT_BACK if name in answer.headers}
        return _Passed(answer, kept)

    return Router(default=asked, lifespan=lifespan)


def require_open(scope: Scope) -> str:
    """The address a request is for. Raises HTTPException when it is none of the four, is asked otherwise, or ends where nobody can tell."""
    raw = scope.get("raw_path")
    path: str = (raw if raw is not None else scope["path"].encode()).decode("latin-1")
    method = OPEN.get(path)
    if method is None:
        raise HTTPException(404, f"{scope['method']} {path[:100]} is not let through")
    if method != scope["method"]:
        raise HTTPException(405, f"{scope['method']} {path} is not let through", {"Allow": method})
    names = [name for name, _ in scope["headers"]]
    if names.count(b"content-length") + names.count(b"transfer-encoding") > 1:
        # RFC 9112, 6.1: servers that disagree about where a request ends can be made to take a part of it for the next one
        raise HTTPException(400, "a request says once how long it is", {"Connection": "close"})
    return path


async def _sent(server: httpx.AsyncClient, request: httpx.Request) -> httpx.Response:
    """The beginning of the server's answer. A connection that it closed just as it was used again is no reason to give up."""
    try:
        return await server.send(request, stream=True)
    except (httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError):
        return await server.send(request, stream=True)  # nothing is changed by an answer that nobody got


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


def _require_address(to: str) -> None:
    with contextlib.suppress(httpx.InvalidURL):
        address = httpx.URL(to)
        if address.scheme in ("http", "https") and address.host:
            return
    raise UsageError(f"{to!r} is no address of a server; give one such as http://127.0.0.1:8000/v1")


async def _body(request: Request, largest: int) -> bytes:
    """Raises HTTPException when it is too large to be meant."""
    if int(request.headers.get("content-length", 0)) > largest:
        raise HTTPException(413, f"a request may have {largest:,} bytes")
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > largest:
            raise HTTPException(413, f"a request may have {largest:,} bytes")
    return bytes(body)


def refused(refusal: HTTPException) -> JSONResponse:
    """An error as clients of the protocol read it."""
    status = refusal.status_code
    kind = "invalid_request_error" if status < 500 else "server_error"
    body = {"error": {"message": refusal.detail, "type": kind, "code": status}}
    return JSONResponse(body, status, refusal.headers)
