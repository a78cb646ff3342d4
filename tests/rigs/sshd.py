"""A real OpenSSH server on a loopback port with keys and configuration of its own, and a relay before it that can cut the link."""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from provisioning.machine import free_port

_SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


def require_sshd() -> str:
    """Path of sshd; skips the test with the reason where it is not installed."""
    if _SSHD is None:
        pytest.skip("OpenSSH's server (package openssh-server) is not installed here")
    return _SSHD


def make_key(path: Path, passphrase: str = "") -> Path:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-f", str(path)], check=True)
    return path


@dataclass
class Sshd:
    """One server; `port` is where clients go (the relay's)."""

    folder: Path
    process: subprocess.Popen[bytes]
    own_port: int
    relay: Relay
    user: str = field(default_factory=getpass.getuser)

    @property
    def port(self) -> int:
        return self.relay.port

    @property
    def user_key(self) -> Path:
        return self.folder / "user_key"

    @property
    def log(self) -> str:
        return (self.folder / "sshd.log").read_text(errors="replace")

    def config(self, name: str = "box", extra: str = "") -> str:
        """A block of a client's configuration that leads here."""
        return (
            f"Host {name}\n  HostName 127.0.0.1\n  Port {self.port}\n  User {self.user}\n  IdentityFile {self.user_key}\n"
            f"  IdentitiesOnly yes\n  IdentityAgent none\n  UserKnownHostsFile {self.folder / 'known_hosts'}\n"
            f"  GlobalKnownHostsFile none\n{extra}"
        )

    def trust(self, key: Path | None = None) -> None:
        """Write the server's key (or another one) into the file of known hosts."""
        words = (key or self.folder / "host_key").with_suffix(".pub").read_text().split()
        (self.folder / "known_hosts").write_text(f"[127.0.0.1]:{self.port} {words[0]} {words[1]}\n")

    def change_host_key(self) -> None:
        """Go on with another host key, as a machine that was set up anew, or one that took its place."""
        for path in self.folder.glob("host_key*"):
            path.unlink()
        make_key(self.folder / "host_key")
        self.stop()
        self.process = _start(self.folder, self.own_port)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait()


class Relay:
    """Forwards a loopback port. `cut()` drops every connection; `budget` drops each after that many bytes towards the server."""

    def __init__(self, to_port: int) -> None:
        self._to_port = to_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.budget: int | None = None
        self.refuse = False
        self.carried = 0
        """Bytes carried towards the server."""
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> int:
        """Drop all connections; how many halves there were."""
        open_, self._open = self._open, []
        for one in open_:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        return len(open_)

    def close(self) -> None:
        self._listener.close()
        self.cut()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                if self.refuse:
                    client.close()
                    continue
                try:
                    server = socket.create_connection(("127.0.0.1", self._to_port))
                except OSError:  # sshd is just being started anew
                    client.close()
                    continue
                self._open += [client, server]
                threading.Thread(target=self._serve, args=(client, server), daemon=True).start()

    def _serve(self, client: socket.socket, server: socket.socket) -> None:
        """Both directions; the sockets are closed once neither is read any more, so that no number is given away in use."""
        with client, server:
            back = threading.Thread(target=self._carry, args=(server, client, False), daemon=True)
            back.start()
            self._carry(client, server, True)
            back.join()

    def _carry(self, source: socket.socket, target: socket.socket, counted: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                if counted and self.budget is not None:
                    data, self.budget = data[: self.budget], max(0, self.budget - len(data))
                    target.sendall(data)
                    if self.budget == 0:
                        self.budget = None
                        self.cut()
                        break
                else:
                    target.sendall(data)
                self.carried += len(data) * counted
        for one in (source, target):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def running_sshd(folder: Path, *, file_limit_blocks: int | None = None) -> Iterator[Sshd]:
    """A server for as long as the block lasts. `file_limit_blocks`: largest file its sessions may write, in blocks of 1024 bytes."""
    require_sshd()
    folder.mkdir(parents=True, exist_ok=True)
    make_key(folder / "host_key")
    make_key(folder / "user_key")
    port = free_port()
    (folder / "authorized_keys").write_text((folder / "user_key.pub").read_text())
    (folder / "sshd_config").write_text(
        f"ListenAddress 127.0.0.1\nPort {port}\nHostKey {folder / 'host_key'}\nAuthorizedKeysFile {folder / 'authorized_keys'}\n"
        "PidFile none\nUsePAM no\nStrictModes no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n"
        "PermitRootLogin prohibit-password\nSubsystem sftp internal-sftp\nMaxStartups 50\nUseDNS no\nLogLevel VERBOSE\n"
        f"SetEnv HOME={folder / 'home'}\n"
    )
    (folder / "home").mkdir()
    # Start-up files of the one who runs the tests stay out of it; these put a Python on the PATH and print, as some do.
    (folder / "home" / ".profile").write_text(f"export PATH='{Path(sys.executable).parent}':$PATH\necho Welcome\n")
    server = Sshd(folder, _start(folder, port, file_limit_blocks), port, Relay(port))
    try:
        yield server
    finally:
        server.relay.close()
        server.stop()


def _start(folder: Path, port: int, file_limit_blocks: int | None = None) -> subprocess.Popen[bytes]:
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # root's sshd insists on it
    command = f"exec {require_sshd()} -D -e -f '{folder / 'sshd_config'}'"
    if file_limit_blocks is not None:
        command = f"trap '' XFSZ; ulimit -f {file_limit_blocks}; {command}"  # a write beyond fails instead of killing
    with (folder / "sshd.log").open("ab") as log:
        process = subprocess.Popen(["bash", "-c", command], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return process
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM) if process.poll() is None else None
    process.wait()
    raise RuntimeError(f"sshd does not start: {(folder / 'sshd.log').read_text()[-500:]}")
