"""Which way leads to a host: its settings and its jump hosts, as OpenSSH's own client reads them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from core.errors import UsageError

CONFIG_VARIABLE = "CALMTUNE_SSH_CONFIG"
"""Names another file than ~/.ssh/config."""
_NAME = re.compile(r"(?:ssh://)?(?:(?P<user>[\w.+-]+)@)?(?P<host>\w[\w.-]*|\[[\da-fA-F:]+\])(?::(?P<port>\d{1,5}))?")
_MOST_HOPS = 8


@dataclass(frozen=True)
class Hop:
    """One SSH connection of a way, the last being the host itself."""

    alias: str
    """As the person writes it."""
    hostname: str
    port: int
    user: str
    identities: tuple[Path, ...] = ()
    """Private keys that exist here, in the order they are tried."""
    identities_only: bool = False
    """Offer no other keys of the agent than those of `identities`."""
    agent: bool = True
    key_alias: str | None = None
    """Name under which its host key is known instead of its own (HostKeyAlias)."""
    known_hosts: tuple[Path, ...] = ()
    """Files with host keys; the first takes new ones."""
    command: str | None = None
    """A program whose input and output are the way to it (ProxyCommand), ready for a shell."""

    @property
    def key_name(self) -> str:
        """Its name in a file of known hosts."""
        plain = self.key_alias or self.hostname
        return plain if self.key_alias or self.port == 22 else f"[{plain}]:{self.port}"


def route(name: str, config: Path | None = None) -> tuple[Hop, ...]:
    """The hops to a host: first the jump hosts, in order, then the host. `config` is read instead of ~/.ssh/config.

    Raises UsageError for a name that is none, settings that cannot be followed, or jump hosts that lead in a circle.
    """
    return _route(name, config, ())


def _route(name: str, config: Path | None, behind: tuple[str, ...]) -> tuple[Hop, ...]:
    if name in behind or len(behind) >= _MOST_HOPS:
        raise UsageError(f"the jump hosts of {behind[0]} lead in a circle: {' → '.join([*behind, name])}")
    settings = _settings(name, config)
    jumps = settings.get("proxyjump", ["none"])[0]
    hop = _hop(name, settings)
    if jumps == "none":
        return (hop,)
    first, *others = jumps.split(",")
    # As OpenSSH does it: only the first jump host is reached by its own jump hosts.
    way = _route(first, config, (*behind, name))
    return (*way, *(_hop(other, _settings(other, config)) for other in others), hop)


def _hop(name: str, settings: dict[str, list[str]]) -> Hop:
    tokens = {
        "d": str(Path.home()), "h": settings["hostname"][0], "n": name, "p": settings["port"][0], "r": settings["user"][0], "%": "%"
    }  # fmt: skip

    def expand(text: str) -> str:
        return re.sub(r"%(.)", lambda match: tokens.get(match[1], match[0]), text)

    def file(text: str) -> Path:
        return Path(expand(text)).expanduser()

    identities = [file(line) for line in settings.get("identityfile", []) if line != "none"]
    command = settings.get("proxycommand", ["none"])[0]
    known = [
        part for key in ("userknownhostsfile", "globalknownhostsfile") for part in settings.get(key, [""])[0].split()
    ]
    return Hop(
        alias=name,
        hostname=settings["hostname"][0].strip("[]"),
        port=int(settings["port"][0]),
        user=settings["user"][0],
        identities=tuple(path for path in identities if path.is_file()),
        identities_only=settings.get("identitiesonly") == ["yes"],
        agent=settings.get("identityagent") != ["none"],
        key_alias=settings.get("hostkeyalias", [None])[0],
        known_hosts=tuple(file(part) for part in known if part != "none"),
        command=expand(command) if command != "none" else None,
    )


def _settings(name: str, config: Path | None) -> dict[str, list[str]]:
    """What `ssh -G` says of a host: every setting by its name in small letters, with the values of each time it was given."""
    match = _NAME.fullmatch(name)
    if match is None:
        raise UsageError(f"{name!r} names no SSH host; write a name of the SSH configuration, or user@host:port")
    program = shutil.which("ssh")
    if program is None:
        raise UsageError("OpenSSH's client `ssh` is not installed here; it is needed to read the SSH configuration")
    config = config or (Path(os.environ[CONFIG_VARIABLE]) if os.environ.get(CONFIG_VARIABLE) else None)
    command = [program, "-G", *(["-F", str(config)] if config else [])]
    command += ["-l", match["user"]] if match["user"] else []
    command += ["-p", match["port"]] if match["port"] else []
    done = subprocess.run([*command, "--", match["host"]], capture_output=True, text=True, check=False)
    if done.returncode:
        words = done.stderr.strip().splitlines()
        raise UsageError(f"the SSH configuration cannot be read: {words[-1] if words else 'ssh said nothing'}")
    found: dict[str, list[str]] = {}
    for line in done.stdout.splitlines():
        key, _, value = line.partition(" ")
        found.setdefault(key, []).append(value)
    return found


def known_aliases(config: Path | None = None) -> list[str]:
    """Hosts that ~/.ssh/config names (patterns and included files aside), to choose from."""
    import paramiko

    path = config or Path(os.environ.get(CONFIG_VARIABLE) or "~/.ssh/config").expanduser()
    if not path.is_file():
        return []
    try:
        names = paramiko.SSHConfig.from_path(str(path)).get_hostnames()
    except (paramiko.ConfigParseError, OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read as an SSH configuration: {error}") from error
    return sorted(name for name in names if not re.search(r"[*?!]", name))
