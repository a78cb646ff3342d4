"""Logging in: one SSH connection through another until the machine is reached, each host checked before anything is shown to it."""

from __future__ import annotations

import contextlib
import logging
import socket
import subprocess
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from core.errors import ProviderError, UsageError
from provisioning import ssh_keys
from provisioning.ssh_hosts import Hop

if TYPE_CHECKING:
    import paramiko

CONNECT_SECONDS = 15.0
COMMAND_SECONDS = 60.0
"""The same where a command is the way: it may have to start much, as SkyPilot's does."""
KEEPALIVE_SECONDS = 15
TRIES = 3
"""A busy SSH server drops some connections before it has said anything (MaxStartups); these are tried again."""
_NO_LOG = logging.NullHandler()
"""What goes wrong is told in our words; without a handler paramiko's tracebacks would reach the terminal."""


def chain_of(hops: tuple[Hop, ...], trust: ssh_keys.Trust | None = None) -> list[paramiko.Transport]:
    """Connect hop by hop, each through the one before. Raises ProviderError, UsageError or UntrustedError."""
    logger = logging.getLogger("paramiko")
    logger.addHandler(_NO_LOG)
    logger.propagate = False
    chain: list[paramiko.Transport] = []
    try:
        for hop in hops:
            chain.append(_greeted(hop, chain[-1] if chain else None))
            _check_and_authenticate(hop, chain[-1], trust)
    except BaseException:
        for transport in reversed(chain):
            close_transport(transport)
        raise
    return chain


class _DroppedError(ProviderError):
    """A connection that was taken and ended before the server had said who it is."""


def _greeted(hop: Hop, through: paramiko.Transport | None) -> paramiko.Transport:
    for number in range(1, TRIES):
        with contextlib.suppress(_DroppedError):
            return _open(hop, through)
        time.sleep(0.3 * number)
    return _open(hop, through)


def _open(hop: Hop, through: paramiko.Transport | None) -> paramiko.Transport:
    """One connection as far as the exchange of keys. Raises ProviderError."""
    import paramiko

    where = f"{hop.alias} ({hop.hostname}:{hop.port})"
    known = list(ssh_keys.known_keys(hop).lookup(hop.key_name) or ())
    try:
        if through is None:
            stream: Any = _socket(hop)
        else:
            address = (hop.hostname, hop.port)
            stream = through.open_channel("direct-tcpip", address, ("127.0.0.1", 0), timeout=CONNECT_SECONDS)
        transport = paramiko.Transport(stream)
    except socket.gaierror as error:
        raise ProviderError(f"{where} cannot be found: {error.strerror}; check its name and the network") from error
    except (OSError, EOFError, paramiko.SSHException) as error:
        raise ProviderError(f"{where} cannot be reached: {_words(error)}") from error
    patience = COMMAND_SECONDS if hop.command else CONNECT_SECONDS
    transport.banner_timeout = patience
    transport.auth_timeout = 30.0
    _prefer(known, transport)
    began = time.monotonic()
    try:
        transport.start_client(timeout=patience)
        if transport.is_active() and not transport.initial_kex_done:  # it returns at its time limit as if all were well
            raise TimeoutError
    except (OSError, EOFError, paramiko.SSHException) as error:
        close_transport(transport)
        kind = _DroppedError if time.monotonic() - began < CONNECT_SECONDS / 3 else ProviderError
        raise kind(f"{where} does not answer as an SSH server: {_words(error)}") from error
    transport.set_keepalive(KEEPALIVE_SECONDS)
    return transport


def close_transport(transport: paramiko.Transport) -> None:
    """Take down one connection, whatever state it is in."""
    with contextlib.suppress(Exception):  # paramiko raises all sorts of things while a broken link is taken down
        transport.close()
        transport.sock.close()  # it leaves the socket open when the other side has hung up first


class _CommandStream:
    """The input and output of a running command, as paramiko wants a socket; closing it ends the command.

    Each is a socket pair of its own: a command may take data on what it writes to for the end of the connection.
    """

    def __init__(self, command: str) -> None:
        self._given, its_input = socket.socketpair()
        self._said, its_output = socket.socketpair()
        with its_input, its_output:
            self._process = subprocess.Popen(
                ["sh", "-c", f"exec {command}"], stdin=its_input.fileno(), stdout=its_output.fileno(), stderr=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C in the terminal is not meant for it
            )  # fmt: skip

    def settimeout(self, seconds: float | None) -> None:
        self._given.settimeout(seconds)
        self._said.settimeout(seconds)

    def send(self, data: bytes) -> int:
        return self._given.send(data)

    def recv(self, size: int) -> bytes:
        return self._said.recv(size)

    def close(self) -> None:
        self._given.close()
        self._said.close()
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(2)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()


def _socket(hop: Hop) -> socket.socket | _CommandStream:
    if hop.command is not None:
        return _CommandStream(hop.command)
    connected = socket.create_connection((hop.hostname, hop.port), CONNECT_SECONDS)
    if hasattr(
        socket, "TCP_USER_TIMEOUT"
    ):  # Linux: a link on which nobody acknowledges ends after a minute, not after many
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 4000 * KEEPALIVE_SECONDS)
    return connected


def _prefer(types: list[str], transport: paramiko.Transport) -> None:
    """Ask for a host key of one of these types first, as the machine may have several."""
    options = transport.get_security_options()
    types = [*types, *(("rsa-sha2-512", "rsa-sha2-256") if "ssh-rsa" in types else ())]
    options.key_types = sorted(options.key_types, key=lambda kind: kind not in types)


def _check_and_authenticate(hop: Hop, transport: paramiko.Transport, trust: ssh_keys.Trust | None) -> None:
    import paramiko

    ssh_keys.check(hop, transport.get_remote_server_key(), trust)
    locked: list[str] = []
    for key in _keys(hop, locked):
        try:
            transport.auth_publickey(hop.user, key)
        except paramiko.AuthenticationException:
            if not transport.is_active():
                break
        except (EOFError, OSError, paramiko.SSHException) as error:
            if transport.is_active():
                continue  # a key of the agent that cannot sign here
            raise ProviderError(f"{hop.alias} hung up while logging in: {_words(error)}") from error
        else:
            if transport.is_authenticated():
                return
            raise UsageError(f"{hop.alias} wants more than a key to let {hop.user} in; that is not supported")
    hint = f"; {locked[0]} has a passphrase: add it to the agent with `ssh-add {locked[0]}`" if locked else ""
    raise UsageError(
        f"{hop.alias} lets {hop.user} in with none of the keys here{hint or '; try `ssh ' + hop.alias + '` and see what it says'}"
    )


def _keys(hop: Hop, locked: list[str]) -> Iterator[paramiko.PKey]:
    """Keys to offer: those of the files, then the agent's. Files with a passphrase are noted in `locked`."""
    import paramiko

    wanted: set[str] = set()
    for path in hop.identities:
        public = path.with_name(path.name + ".pub")
        if public.is_file() and len(words := public.read_text(errors="replace").split()) > 1:
            wanted.add(words[1])
        try:
            yield paramiko.PKey.from_path(path)
        except (paramiko.PasswordRequiredException, TypeError):
            locked.append(str(path))
        except (OSError, ValueError, paramiko.SSHException, paramiko.pkey.UnknownKeyType):
            continue  # a kind of key that only the agent can use
    if hop.agent:
        agent = paramiko.Agent()
        try:
            for key in agent.get_keys():
                if not hop.identities_only or key.get_base64() in wanted:
                    yield key
        finally:
            agent.close()


def _words(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return str(getattr(error, "strerror", None) or error or type(error).__name__)
