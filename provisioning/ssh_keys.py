"""Whose machine answers: host keys are checked, never added without being asked for, and never exchanged."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import UsageError
from provisioning.ssh_hosts import Hop

if TYPE_CHECKING:
    import paramiko


@dataclass(frozen=True)
class UnknownHost:
    """A machine that was never connected to from here."""

    alias: str
    address: str
    key_type: str
    fingerprint: str
    """As `ssh-keygen -lf` shows it: SHA256:…"""

    @property
    def sentence(self) -> str:
        return f"the key of {self.alias} ({self.address}) is not known here: {self.key_type} {self.fingerprint}"


Trust = Callable[[UnknownHost], bool]
"""Asks the person whether a fingerprint is the right one."""


class UntrustedError(UsageError):
    """The host key is unknown and nobody said that it is right, or it is another than before."""


def fingerprint(key: paramiko.PKey) -> str:
    return "SHA256:" + base64.b64encode(hashlib.sha256(key.asbytes()).digest()).decode().rstrip("=")


def known_keys(hop: Hop) -> paramiko.HostKeys:
    """The host keys of a hop's files. Raises UsageError for a line that cannot be read."""
    import paramiko
    from paramiko.hostkeys import HostKeyEntry, InvalidHostKey

    keys = paramiko.HostKeys()
    for path, number, line in _lines(hop):
        if line.startswith(("#", "@")):
            continue
        try:
            entry = HostKeyEntry.from_line(line, number)
        except (InvalidHostKey, paramiko.SSHException, ValueError) as error:
            raise UsageError(f"{path}:{number}: the line is no host key; remove it and try again") from error
        if entry is not None and entry.key is not None:  # None: a type of key that is not supported
            for name in entry.hostnames or ():
                keys.add(name, entry.key.get_name(), entry.key)
    return keys


def _lines(hop: Hop) -> Iterator[tuple[Path, int, str]]:
    """Lines of the hop's files of known hosts that say something. Raises UsageError for a file that cannot be read."""
    for path in hop.known_hosts:
        try:
            lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        except FileNotFoundError:
            continue
        except OSError as error:
            raise UsageError(f"{path} cannot be read: {error.strerror}; it tells which machines are known") from error
        yield from ((path, number, line.strip()) for number, line in enumerate(lines, 1) if line.strip())


def remember(hop: Hop, key: paramiko.PKey) -> None:
    """Append a key that the person has confirmed to the hop's first file of known hosts."""
    path = hop.known_hosts[0] if hop.known_hosts else Path("~/.ssh/known_hosts").expanduser()
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    before = path.read_bytes() if path.exists() else b""
    separator = "" if not before or before.endswith(b"\n") else "\n"
    with path.open("a", encoding="utf-8") as file:
        file.write(f"{separator}{hop.key_name} {key.get_name()} {key.get_base64()}\n")


def check(hop: Hop, key: paramiko.PKey, trust: Trust | None) -> None:
    """Compare the key a machine shows with the known ones. Raises UntrustedError.

    A key of another type than the known ones counts as changed: whoever answers in the machine's place could choose the type.
    """
    _refuse_revoked(hop, key)
    known = known_keys(hop).lookup(hop.key_name)
    if known:
        if any(known[kind] == key for kind in known if kind == key.get_name()):
            return
        raise UntrustedError(
            f"the key of {hop.alias} ({hop.key_name}) has CHANGED: it now shows {key.get_name()} {fingerprint(key)}. Someone may be in "
            f"between. If the machine was set up anew, remove the old key with `ssh-keygen -R '{hop.key_name}'` and connect again"
        )
    stranger = UnknownHost(hop.alias, hop.key_name, key.get_name(), fingerprint(key))
    if trust is None or not trust(stranger):
        raise UntrustedError(
            f"{stranger.sentence}; compare it on the machine with `ssh-keygen -lf /etc/ssh/ssh_host_*_key.pub`, "
            f"then let `calmtune doctor --host {hop.alias}` remember it"
        )
    remember(hop, key)


def _refuse_revoked(hop: Hop, key: paramiko.PKey) -> None:
    for path, number, line in _lines(hop):
        if line.startswith("@revoked") and key.get_base64() in line.split():
            raise UntrustedError(f"the key that {hop.alias} shows is revoked ({path}:{number}); nothing was sent")
