"""A port of another machine on this machine's loopback. Run as a program it is a job that keeps the port open.

python -m provisioning.tunnel HOST PORT LOCAL_PORT [any-key]

any-key takes whatever host key the machine shows, for one that was just rented and whose key nobody can know.
"""

from __future__ import annotations

import contextlib
import socket
import socketserver
import sys
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from core.errors import CalmtuneError, StepFailed
from provisioning.ssh_link import Connection, CutError, Link
from provisioning.ssh_login import CONNECT_SECONDS

if TYPE_CHECKING:
    import paramiko

ANY_KEY = "any-key"
PROBE_SECONDS = 15.0
PROBES = 3
"""So many probes in a row must find nothing before the server counts as ended."""


@contextlib.contextmanager
def tunnel(link: Link, port: int, local_port: int = 0) -> Iterator[str]:
    """The address of a loopback port here whose connections end at the machine's loopback port, for as long as the block lasts.

    Raises StepFailed when the port here is taken.
    """

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with contextlib.suppress(
                CalmtuneError, OSError, EOFError
            ):  # the client sees a closed connection and tries again
                channel = link.call(lambda connection: _channel(connection, port))
                if channel is not None:
                    with contextlib.closing(channel):
                        _pump(self.request, channel)

    try:
        server = _Server(("127.0.0.1", local_port), Handler)
    except OSError as error:
        raise StepFailed(f"port {local_port} of this machine cannot be used: {error.strerror}") from error
    serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)
    serving.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        serving.join()


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    block_on_close = False


def _channel(connection: Connection, port: int) -> paramiko.Channel | None:
    """A channel to the port there, None while nothing listens on it."""
    import paramiko

    try:
        return connection.transport.open_channel(
            "direct-tcpip", ("127.0.0.1", port), ("127.0.0.1", 0), timeout=CONNECT_SECONDS
        )
    except paramiko.ChannelException:
        return None


def _pump(here: socket.socket, there: paramiko.Channel) -> None:
    """Carry bytes both ways until both sides have said all."""
    answers = threading.Thread(target=_carry, args=(there, here), daemon=True)
    answers.start()
    _carry(here, there)
    answers.join()


def _carry(source: socket.socket | paramiko.Channel, target: socket.socket | paramiko.Channel) -> None:
    with contextlib.suppress(OSError, EOFError):
        while data := source.recv(1 << 16):
            target.sendall(data)
    with contextlib.suppress(OSError, EOFError):
        target.shutdown(socket.SHUT_WR)


def keep_open(link: Link, port: int, local_port: int, pause: float = PROBE_SECONDS) -> None:
    """Keep a tunnel open until nothing has listened at its other end for some probes, after something did.

    Raises StepFailed when the port here is taken, and what keeps the machine from being reached at first.
    """
    served, missed = False, 0
    with tunnel(link, port, local_port) as address:
        print(f"{address} leads to port {port} of {link.host}", flush=True)
        while missed < PROBES:
            try:
                listens = link.call(lambda connection: _listens(connection, port))
            except CutError as error:
                print(error, flush=True)  # the machine may come back, and its server with it
            else:
                served = served or listens
                missed = 0 if listens or not served else missed + 1
            time.sleep(pause)
    print(f"nothing listens on port {port} of {link.host} any more", flush=True)


def _listens(connection: Connection, port: int) -> bool:
    channel = _channel(connection, port)
    if channel is not None:
        channel.close()
    return channel is not None


def main() -> int:
    """Keep the port open until the job is stopped or the server there has ended."""
    host, port, local_port = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    trust = (lambda stranger: True) if ANY_KEY in sys.argv[4:] else None
    try:
        keep_open(Link(host, trust=trust, patience=30), port, local_port)
    except CalmtuneError as error:
        print(error, flush=True)
    return 1


if __name__ == "__main__":
    sys.exit(main())
