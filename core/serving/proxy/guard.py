"""Who comes through to a published server: allowed addresses, clients with keys, as much as the limits let them, in the time they have.

Whoever has no key learns nothing but whether the server lives. The log has a line for each request, without keys, queries and bodies.
"""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from starlette.exceptions import HTTPException

from core.serving.proxy.addresses import Networks, counted_as
from core.serving.proxy.forwarding import OPEN, refused, require_open
from core.serving.proxy.keys import Keys
from core.serving.proxy.limits import AtOnce, Buckets, TooManyError, burst_of

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

STRANGERS_PER_MINUTE = 600
"""Requests without a right key, of one address: probes of health, and guesses."""
STRANGERS_AT_ONCE = 300
BODY_SECONDS = 30.0
"""A request must have arrived within."""
LONGEST_SECONDS = 900.0
"""Its answer must have been read within."""
HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
]
"""For browsers that are led here: show nothing, keep nothing, tell nobody."""
STRICT_TRANSPORT = (b"strict-transport-security", b"max-age=31536000")


class Guard:
    """ASGI middleware that lets through what it should."""

    def __init__(
        self,
        app: ASGIApp,
        keys: Keys,
        networks: Networks,
        requests_per_minute: float = 600,
        at_once: int = 16,
        say: Callable[[str], None] = print,
        balanced: bool = False,
    ) -> None:
        """`requests_per_minute` and `at_once` hold for each client; `say` gets a line of JSON for each request. `balanced` where
        strangers have the address of a load balancer, which must hear of health whatever they do."""
        self._app, self._keys, self._networks, self._say = app, keys, networks, say
        self._buckets = Buckets(requests_per_minute, burst_of(requests_per_minute))
        self._strangers = Buckets(STRANGERS_PER_MINUTE, STRANGERS_AT_ONCE)
        self._at_once, self._balanced = AtOnce(at_once), balanced

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        answer = _Answer(send, scope["scheme"] == "https")
        host = scope["client"][0] if scope.get("client") else None
        client = None
        began = time.monotonic()
        try:
            async with asyncio.timeout(LONGEST_SECONDS):
                try:
                    client = self._admitted(scope, host)
                    await self._let_through(scope, _Hurried(receive, BODY_SECONDS), answer, client)
                except HTTPException as refusal:
                    if not answer.status:
                        await refused(refusal)(scope, receive, answer)
        except TimeoutError:
            pass  # the connection is closed, whatever was half said
        finally:
            self._say(_line(scope, host, client, answer, time.monotonic() - began))

    def _admitted(self, scope: Scope, host: str | None) -> str | None:
        """The client's name, None for one that may only ask for health. Raises HTTPException for one that may not."""
        if not self._networks.admits(host):
            raise HTTPException(403, "this address is not let in", {"Connection": "close"})
        given = [value.decode("latin-1") for name, value in scope["headers"] if name == b"authorization"]
        client = self._keys.owner(given)
        if client is None:
            asks_health = scope.get("raw_path") == b"/health" and scope["method"] == OPEN["/health"]
            if not (asks_health and self._balanced):
                _within(self._strangers, counted_as(host))
            if not asks_health:
                raise HTTPException(401, "a key is needed: Authorization: Bearer KEY", {"WWW-Authenticate": "Bearer"})
        return client

    async def _let_through(self, scope: Scope, receive: Receive, send: Send, client: str | None) -> None:
        require_open(scope)
        if client is None:
            await self._app(scope, receive, send)
            return
        _within(self._buckets, client)
        try:
            with self._at_once.slot(client):
                await self._app(scope, receive, send)
        except TooManyError as error:
            raise _too_many(error) from None


def _within(buckets: Buckets, who: str) -> None:
    try:
        buckets.take(who)
    except TooManyError as error:
        raise _too_many(error) from None


def _too_many(error: TooManyError) -> HTTPException:
    return HTTPException(429, str(error), {"Retry-After": str(math.ceil(error.seconds))})


class _Hurried:
    """`receive` of a client that has some seconds for all of its request. Raises HTTPException when they are over."""

    def __init__(self, receive: Receive, seconds: float) -> None:
        self._receive, self._until, self._whole = receive, time.monotonic() + seconds, False

    async def __call__(self) -> Message:
        if self._whole:
            return await self._receive()  # waits for the client to leave
        try:
            async with asyncio.timeout(self._until - time.monotonic()):
                message = await self._receive()
        except TimeoutError:
            raise HTTPException(408, "the request took too long to arrive", {"Connection": "close"}) from None
        self._whole = not message.get("more_body", False)
        return message


class _Answer:
    """`send` with the headers for browsers; remembers what the log tells."""

    def __init__(self, send: Send, encrypted: bool) -> None:
        self._send, self._more = send, [*HEADERS, STRICT_TRANSPORT] if encrypted else HEADERS
        self.status, self.bytes = 0, 0

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message = {**message, "headers": [*message.get("headers", []), *self._more]}
        else:
            self.bytes += len(message.get("body", b""))
        await self._send(message)


def _line(scope: Scope, host: str | None, client: str | None, answer: _Answer, seconds: float) -> str:
    """A request in the log. Addresses that are not let through are not written down: someone may have put a key there."""
    path = (scope.get("raw_path") or b"").decode("latin-1")
    line: dict[str, Any] = {
        "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "address": host,
        "client": client,
        "method": scope["method"][:10],
        "path": path if path in OPEN else None,
        "status": answer.status or None,
        "bytes": answer.bytes,
        "seconds": round(seconds, 3),
    }
    return json.dumps(line)
