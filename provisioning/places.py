"""The places where jobs can run from here: this machine, and every machine SSH leads to."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from provisioning.local import LocalTarget
from provisioning.ssh import DEFAULT_ROOT, SshTarget
from provisioning.ssh_keys import Trust
from provisioning.target import Target

LOCAL = "local"
SSH = "ssh:"
PLACE_PATTERN = r"^(local|ssh:[^\s,:]+(:\d+)?)$"
"""How a place is written: "local", or "ssh:" and a name of the SSH configuration or user@host:port."""
ROOT_VARIABLE = "CALMTUNE_REMOTE_FOLDER"
"""Names another folder than ~/.calmtune for jobs and models on machines reached over SSH, such as one on a larger disk."""


class Places(Mapping[str, Target]):
    """Targets by name; going through them goes through this machine and those that were used."""

    def __init__(self, root: Path, used: Callable[[], Iterable[str]] = tuple) -> None:
        """`root` is the folder in which local jobs live, `used` tells names of places where jobs were launched."""
        self._root, self._used = root, used
        self._made: dict[str, Target] = {LOCAL: LocalTarget(root)}

    def __getitem__(self, name: str) -> Target:
        if name not in self._made:
            if not name.startswith(SSH):
                raise KeyError(name)
            self._made[name] = ssh_target(name.removeprefix(SSH), _scope(self._root))
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys([LOCAL, *self._used()]))

    def __len__(self) -> int:
        return len(list(iter(self)))

    def close(self) -> None:
        """Let connections go; jobs stay."""
        for target in self._made.values():
            if isinstance(target, SshTarget):
                target.close()


def ssh_target(host: str, scope: str = "", trust: Trust | None = None, patience: float = 300.0) -> SshTarget:
    """The target of an SSH host, with the folder there that the environment names."""
    return SshTarget(host, scope, os.environ.get(ROOT_VARIABLE, DEFAULT_ROOT), trust=trust, patience=patience)


def _scope(root: Path) -> str:
    """A name for the jobs of this session on machines that others use as well; made once and kept beside the jobs."""
    path = root / "scope"
    if not path.is_file():
        root.mkdir(parents=True, exist_ok=True)
        partial = root / f".scope.{os.getpid()}"
        partial.write_text(secrets.token_hex(6), encoding="ascii")
        try:
            os.link(partial, path)  # the first of two processes wins
        except FileExistsError:
            pass
        finally:
            partial.unlink()
    return path.read_text(encoding="ascii").strip()
