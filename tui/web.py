"""The app in a browser: textual-serve on loopback, behind a token.

Whoever else uses this machine, and whatever page a browser shows, must not reach it: a terminal runs commands. The address that is printed
holds the token once; a cookie takes its place, so that it stands in no history and no page that is left. Other names for this machine are
refused, since a name may lead here from any page (DNS rebinding), and so are websockets that other pages open.
"""

from __future__ import annotations

import asyncio
import secrets
import shlex
import socket
import sys
from collections.abc import Awaitable, Callable
from hmac import compare_digest

from aiohttp import web
from textual_serve.server import Server

from core.errors import UsageError
from tui.output import data, narrate

_TOKEN = "token"
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def serve(port: int) -> None:
    """Serve until Ctrl-C; the address goes to stdout. Port 0 takes a free one. Raises UsageError when the port is taken."""
    try:
        listening = socket.create_server(("127.0.0.1", port))
    except OSError as error:
        raise UsageError(f"port {port} cannot be listened on ({error.strerror}); give another with --port") from error
    with listening:
        asyncio.run(_serve(listening))


async def _serve(listening: socket.socket) -> None:
    guard = Guard(f"127.0.0.1:{listening.getsockname()[1]}")
    command = f"{shlex.quote(sys.executable)} -m tui.cli"
    server = Server(command, title="calmtune", public_url=guard.origin)
    app = await server._make_app()
    app.on_startup.clear()  # its greeting
    app.middlewares.append(guard.middleware)
    runner = web.AppRunner(app, access_log=None)  # which would have the token in it
    await runner.setup()
    try:
        await web.SockSite(runner, listening).start()
        data(f"{guard.origin}/?{_TOKEN}={guard.token}")
        narrate("open this address in a browser on this machine; Ctrl-C stops")
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()


class Guard:
    """Lets in who has the token, then who has its cookie."""

    def __init__(self, host: str) -> None:
        self.origin = f"http://{host}"
        self.token = secrets.token_urlsafe(32)
        self._host = host
        self._cookie = f"calmtune-{host.rpartition(':')[2]}"  # cookies know no ports
        self._pass = secrets.token_urlsafe(32)

    @property
    def middleware(self) -> Callable[[web.Request, _Handler], Awaitable[web.StreamResponse]]:
        @web.middleware
        async def check(request: web.Request, handler: _Handler) -> web.StreamResponse:
            if request.headers.get("Host") != self._host or request.headers.get("Origin", self.origin) != self.origin:
                raise web.HTTPForbidden(text=f"calmtune answers at {self.origin} only")
            if _same(request.query.get(_TOKEN), self.token):
                inside = web.HTTPSeeOther("/", headers=self._headers)
                inside.set_cookie(self._cookie, self._pass, httponly=True, samesite="Strict", path="/")
                raise inside
            if not _same(request.cookies.get(self._cookie), self._pass):
                raise web.HTTPForbidden(text="open the address that `calmtune web` printed, with its token")
            response = await handler(request)
            if not response.prepared:
                response.headers.update(self._headers)
            return response

        return check

    @property
    def _headers(self) -> dict[str, str]:
        own = f"{self.origin} {self.origin.replace('http', 'ws', 1)}"
        policy = (
            f"default-src 'none'; script-src {self.origin} 'unsafe-inline'; style-src {self.origin} 'unsafe-inline'; connect-src {own}; "
            f"img-src {self.origin} data:; font-src {self.origin} data:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
        )
        return {
            "Cache-Control": "no-store",
            "Content-Security-Policy": policy,
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
        }


def _same(given: str | None, wanted: str) -> bool:
    return given is not None and compare_digest(given.encode(), wanted.encode())
