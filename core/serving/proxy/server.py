"""The proxy as a server: what it needs before it listens anywhere but on loopback, and the patience it has with connections."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from uvicorn import Config, Server
from uvicorn.protocols.http.h11_impl import H11Protocol

from core.errors import UsageError
from core.serving.proxy.addresses import is_loopback, read_networks
from core.serving.proxy.certificate import Pair, server_context
from core.serving.proxy.forwarding import LARGEST_BODY, application
from core.serving.proxy.guard import Guard
from core.serving.proxy.keys import VARIABLE, Keys

if TYPE_CHECKING:
    from starlette.types import ASGIApp

PUBLIC_BODY = 2**20
"""Bytes of a request from outside; prompts of commands have some thousands."""
REQUEST_SECONDS = 15.0
"""A connection that has sent no whole head of a request for so long is closed."""
MOST_CONNECTIONS = 512
BACKLOG = 2048
"""Connections that wait to be taken, as many as the server itself lets wait."""
WATCH_SECONDS = 15.0
MISSES = 3
"""So many looks in a row must find no server behind before the proxy ends, once there was one."""


@dataclass(frozen=True)
class Settings:
    """Where a proxy listens and for whom."""

    to: str
    """The model server, such as http://127.0.0.1:8000/v1."""
    host: str = "127.0.0.1"
    port: int = 8001
    """0 for any free one."""
    pair: Pair | None = None
    """Certificate and private key; None for HTTP."""
    allowed: str = ""
    """Addresses and networks that are let in; empty for all."""
    requests_per_minute: float = 600
    """Of each client."""
    at_once: int = 16
    """Requests of each client under way."""
    balanced: bool = False
    """Behind a load balancer: TLS ends there, and all requests come from its address."""

    def require_safe(self, has_keys: bool) -> None:
        """Raises UsageError when it would be reached from other machines without TLS or keys."""
        if is_loopback(self.host):
            return
        missing = [
            *(["a certificate and its private key"] if self.pair is None and not self.balanced else []),
            *([f"keys of clients (a file, or {VARIABLE} in the environment)"] if not has_keys else []),
        ]
        if missing:
            raise UsageError(
                f"{self.host} can be reached from other machines, and {' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} "
                "missing; give what is missing, or listen on 127.0.0.1"
            )


def built(
    settings: Settings,
    extra: Mapping[str, Any],
    keys: Mapping[str, str] | None,
    server_key: str,
    say: Callable[[str], None],
) -> ASGIApp:
    """The proxy as an ASGI application. Without `keys` those of clients go through as they come, and nothing is limited."""
    networks = read_networks(settings.allowed)
    if keys is None:
        if networks.allowed:
            raise UsageError("allowed addresses go with keys: whoever shares an address with a client would come in")
        return application(settings.to, extra, largest_body=LARGEST_BODY)
    if networks.allowed and settings.balanced:
        raise UsageError("allowed addresses cannot be kept behind a load balancer: all requests come from its own")
    inner = application(settings.to, extra, server_key=server_key, largest_body=PUBLIC_BODY)
    return Guard(inner, Keys(keys), networks, settings.requests_per_minute, settings.at_once, say, settings.balanced)


def listening(settings: Settings) -> socket.socket:
    """A socket that takes connections already. Raises UsageError when the address cannot be had."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    open_ = socket.socket(family)
    try:
        open_.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        open_.bind((settings.host, settings.port))
        open_.listen(BACKLOG)
    except (OSError, OverflowError) as error:
        open_.close()
        reason = getattr(error, "strerror", None) or error
        raise UsageError(
            f"cannot listen on {settings.host}, port {settings.port}: {reason}; choose another port"
        ) from error
    return open_


def address_of(open_: socket.socket, encrypted: bool) -> str:
    """As clients on this machine write it."""
    host, port = open_.getsockname()[:2]
    return f"http{'s' if encrypted else ''}://{f'[{host}]' if ':' in host else host}:{port}/v1"


class ImpatientProtocol(H11Protocol):
    """HTTP for clients nobody knows: one that does not say what it wants is not waited for."""

    _waiting: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._wait()

    def on_response_complete(self) -> None:
        self._wait()
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
        super().connection_lost(exc)

    def _wait(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
        self._waiting = self.loop.call_later(REQUEST_SECONDS, self._give_up)

    def _give_up(self) -> None:
        if self.cycle is None or self.cycle.response_complete:
            self.transport.abort()


def server_of(app: ASGIApp, context: ssl.SSLContext | None) -> Server:
    """uvicorn as this needs it: no websockets, nobody's word for a client's address, one parser, a limit of connections."""
    config = Config(
        app,
        log_level="error",
        access_log=False,
        http=ImpatientProtocol,
        ws="none",
        lifespan="on",
        proxy_headers=False,
        server_header=False,
        limit_concurrency=MOST_CONNECTIONS,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=10,
    )
    config.load()
    config.ssl = context
    return Server(config)


def serve(
    settings: Settings,
    extra: Mapping[str, Any],
    keys: Mapping[str, str] | None = None,
    server_key: str = "",
    say: Callable[[str], None] = print,
    ready: Callable[[str], None] = print,
    watched: bool = False,
) -> None:
    """Serve until it is interrupted, or with `watched` until the model server has gone.

    `say` gets the log, `ready` the address. Raises UsageError for what must be there and is not.
    """
    settings.require_safe(keys is not None)
    app = built(settings, extra, keys, server_key, say)
    server = server_of(app, server_context(settings.pair) if settings.pair is not None else None)
    with listening(settings) as open_:
        ready(address_of(open_, settings.pair is not None))

        async def until_ended() -> None:
            async with _watching(settings.to, server) if watched else _nothing():
                await server.serve([open_])

        asyncio.run(until_ended())


@asynccontextmanager
async def _nothing() -> AsyncIterator[None]:
    yield


@asynccontextmanager
async def _watching(to: str, server: Server) -> AsyncIterator[None]:
    """End the proxy when nothing listens behind it any more."""
    from httpx import URL

    address = URL(to)
    port = address.port or (443 if address.scheme == "https" else 80)

    async def watch() -> None:
        seen, missed = False, 0
        while missed < MISSES:
            try:
                _, writer = await asyncio.wait_for(asyncio.open_connection(address.host, port), 10)
                writer.close()
                seen, missed = True, 0
            except (OSError, TimeoutError):
                missed += seen
            await asyncio.sleep(WATCH_SECONDS)
        server.should_exit = True

    watching = asyncio.create_task(watch())
    try:
        yield
    finally:
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching
