"""The proxy on loopback, as a server of its own: plain, or published with TLS and keys."""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from core.serving.proxy.certificate import server_context
from core.serving.proxy.forwarding import application
from core.serving.proxy.server import Settings, address_of, built, listening, server_of

if TYPE_CHECKING:
    from starlette.types import ASGIApp


@contextmanager
def proxied(to: str, extra: Mapping[str, Any]) -> Iterator[str]:
    """The address of a proxy, as clients take it."""
    with running(application(to, extra), Settings(to, port=0)) as address:
        yield address


@contextmanager
def published(
    settings: Settings, keys: Mapping[str, str], server_key: str = "", say: Callable[[str], None] = lambda line: None
) -> Iterator[str]:
    """The address of a proxy with keys, without /v1."""
    context = server_context(settings.pair) if settings.pair is not None else None
    with running(built(settings, {}, keys, server_key, say), settings, context) as address:
        yield address.removesuffix("/v1")


@contextmanager
def running(app: ASGIApp, settings: Settings, context: ssl.SSLContext | None = None) -> Iterator[str]:
    server = server_of(app, context)
    with listening(replace(settings, port=0)) as open_:
        thread = threading.Thread(target=server.run, args=([open_],))
        thread.start()
        try:
            while not server.started:
                time.sleep(0.01)
            yield address_of(open_, context is not None)
        finally:
            server.should_exit = True
            thread.join()
