"""A connection to a machine that heals: made when it is needed, through jump hosts, and made again when it was cut."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, TypeVar

from core.errors import ProviderError
from provisioning import ssh_keys
from provisioning.ssh_hosts import route
from provisioning.ssh_login import CONNECT_SECONDS, chain_of, close_transport

if TYPE_CHECKING:
    import paramiko

T = TypeVar("T")
SILENCE_SECONDS = 120.0
"""A channel that says nothing for this long counts as cut."""
_SFTP_PROGRAM = (
    "for way in /usr/lib/openssh /usr/libexec/openssh /usr/lib/ssh /usr/libexec; do "
    "if [ -x $way/sftp-server ]; then exec $way/sftp-server; fi; done; exec sftp-server"
)
"""Starts OpenSSH's program for file transfer from wherever a system keeps it."""
WORKED_SECONDS = 10.0
"""Work that went on for so long before the link was cut has earned new patience: a long upload may be cut many times."""


class CutError(ProviderError):
    """The link was cut and could not be mended in time."""


@dataclass(frozen=True)
class Ran:
    """What a command on the machine left."""

    code: int
    out: bytes
    error: bytes


class Connection:
    """One chain of SSH connections, the last being the machine's."""

    def __init__(self, chain: list[paramiko.Transport]) -> None:
        self._chain = chain
        self.transport = chain[-1]
        self._own = threading.local()
        self._idle: list[paramiko.SFTPClient] = []

    @property
    def alive(self) -> bool:
        client: paramiko.SFTPClient | None = getattr(self._own, "sftp", None)
        channel = client.get_channel() if client else None
        return all(transport.is_active() for transport in self._chain) and not (channel and channel.closed)

    def lost_by(self, error: Exception) -> bool:
        """Whether an error means that the link is cut, and not that the machine refuses something."""
        import paramiko

        if isinstance(error, paramiko.SSHException):
            return not isinstance(error, paramiko.ChannelException)
        gone = isinstance(error, (EOFError, TimeoutError)) or str(error) == "Socket is closed"
        return gone or not self.alive

    @property
    def sftp(self) -> paramiko.SFTPClient:
        """This thread's own until it is given back: two threads that wait for answers on one would read each other's."""
        import paramiko

        found: paramiko.SFTPClient | None = getattr(self._own, "sftp", None)
        if found is None:
            with contextlib.suppress(IndexError):
                found = self._own.sftp = self._idle.pop()
        if found is None:
            channel = self.transport.open_session(timeout=CONNECT_SECONDS)
            channel.settimeout(SILENCE_SECONDS)
            try:
                channel.invoke_subsystem("sftp")
            except paramiko.SSHException:  # an SSH server without file transfer, as that of SkyPilot on Slurm
                channel = self.transport.open_session(timeout=CONNECT_SECONDS)
                channel.settimeout(SILENCE_SECONDS)
                channel.exec_command(_SFTP_PROGRAM)
            found = self._own.sftp = paramiko.SFTPClient(channel)
        return found

    def give_back(self) -> None:
        """Let other threads have this one's file transfer: a server allows few at a time."""
        if (found := getattr(self._own, "sftp", None)) is not None:
            self._idle.append(found)
            self._own.sftp = None

    def run(self, command: str, given: bytes = b"", silence: float = SILENCE_SECONDS) -> Ran:
        """Run a command with bytes on its standard input; it may say nothing for `silence` seconds.

        Raises EOFError or TimeoutError when the link is cut before it has ended.
        """
        channel = self.transport.open_session(timeout=CONNECT_SECONDS)
        with contextlib.closing(channel):
            channel.settimeout(silence)
            channel.exec_command(command)
            channel.sendall(given)
            channel.shutdown_write()
            error = bytearray()
            drain = threading.Thread(target=lambda: error.extend(_all_of(channel.recv_stderr)), daemon=True)
            drain.start()  # both streams at once: one that nobody reads would stop the command
            out = _all_of(channel.recv)
            drain.join(silence)
            if not channel.exit_status_ready() and not self.transport.is_active():
                raise EOFError("cut before the command had ended")
            code = channel.recv_exit_status()
        if code < 0:
            raise EOFError("cut before the command had ended")
        return Ran(code, out, bytes(error))

    def close(self) -> None:
        for transport in reversed(self._chain):
            close_transport(transport)


class Link:
    """The way to one host. Safe to use from several threads."""

    def __init__(
        self, host: str, config: Path | None = None, trust: ssh_keys.Trust | None = None, patience: float = 300.0
    ) -> None:
        """`patience`: seconds for which a link that once stood is tried to be mended."""
        self.host = host
        self._config, self._trust, self._patience = config, trust, patience
        self._connection: Connection | None = None
        self._stood = False
        self._lock = threading.RLock()

    def call(self, work: Callable[[Connection], T]) -> T:
        """Do something over the connection, again from its beginning when the link is cut: it must be safe to repeat.

        Raises ProviderError when the machine cannot be reached, UsageError when it lets nobody in or is not known, and what
        `work` raises while the link stands.
        """
        import paramiko

        deadline = time.monotonic() + self._patience
        pause = 0.1
        while True:
            began = time.monotonic()
            connection: Connection | None = None
            try:
                connection = self.connection()
                found = work(connection)
                connection.give_back()
                return found
            except (EOFError, OSError, paramiko.SSHException) as error:
                if connection is not None and not connection.lost_by(error):
                    connection.give_back()
                    self._raise_refusal(error)
                problem: Exception = error
            except ProviderError as error:
                if not self._stood:
                    raise
                problem = error
            self._drop(connection)
            if connection is not None and time.monotonic() - began > WORKED_SECONDS:
                deadline, pause = time.monotonic() + self._patience, 0.1
            if time.monotonic() + pause > deadline:
                raise CutError(
                    f"the link to {self.host} was cut and could not be mended in {self._patience:.0f} s; "
                    "what runs there goes on, try again to get back to it"
                ) from problem
            time.sleep(pause)
            pause = min(2 * pause, 10.0)

    def _raise_refusal(self, error: Exception) -> NoReturn:
        """Raise what the machine refuses; errors with a number of their own are left to those who know what was tried."""
        if isinstance(error, OSError) and error.errno is not None:
            raise error
        raise ProviderError(f"{self.host} refuses: {error}") from error

    def connection(self) -> Connection:
        """The standing connection, or a new one."""
        with self._lock:
            if self._connection is None or not self._connection.alive:
                self._drop(self._connection)
                self._connection = Connection(chain_of(route(self.host, self._config), self._trust))
                self._stood = True
            return self._connection

    def _drop(self, connection: Connection | None) -> None:
        with self._lock:
            if connection is not None and connection is self._connection:
                connection.close()
                self._connection = None

    def close(self) -> None:
        self._drop(self._connection)


def _all_of(receive: Callable[[int], bytes]) -> bytes:
    data = bytearray()
    while piece := receive(1 << 16):
        data += piece
    return bytes(data)
