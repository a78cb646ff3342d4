"""The places where jobs can run from here: this machine, every machine SSH leads to, and those SkyPilot rents."""

from __future__ import annotations

import os
import secrets
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from provisioning.local import LocalTarget
from provisioning.place_names import LOCAL, SKY, SKYSERVE, SSH
from provisioning.target import DEFAULT_ROOT, Target
from provisioning.terms import Terms

if TYPE_CHECKING:
    from provisioning.sky import SkyTarget
    from provisioning.sky_serve import SkyServeTarget
    from provisioning.ssh import SshTarget
    from provisioning.ssh_keys import Trust

ROOT_VARIABLE = "CALMTUNE_REMOTE_FOLDER"
"""Names another folder than ~/.calmtune for jobs and models on machines reached over SSH, such as one on a larger disk."""


class Places(Mapping[str, Target]):
    """Targets by name; going through them goes through this machine and those that were used."""

    def __init__(
        self,
        root: Path,
        used: Callable[[], Iterable[str]] = tuple,
        terms: Callable[[], Terms] = Terms,
        left_usd: Callable[[], float | None] = lambda: None,
    ) -> None:
        """`root` is the folder in which local jobs live, `used` tells names of places where jobs were launched, `terms` on which terms
        machines are rented, `left_usd` what is left of the budget for them."""
        self._root, self._used, self._terms, self._left_usd = root, used, terms, left_usd
        self._made: dict[str, Target] = {LOCAL: LocalTarget(root)}
        self._rented: dict[str, SkyTarget | SkyServeTarget] = {}
        self._making = threading.Lock()

    def __getitem__(self, name: str) -> Target:
        with self._making:  # a step's thread and one that looks at machines may ask for the same place at once
            if name not in self._made:
                self._made[name] = self._make(name)
            return self._made[name]

    def _make(self, name: str) -> Target:
        kind, _, where = name.partition(":")
        # Libraries of other places are loaded when one of these is asked for.
        if kind == SKY:
            from provisioning.sky import SkyTarget

            self._rented[name] = SkyTarget(where, _scope(self._root), self._terms, self._left_usd, _remote_root())
            return self._rented[name]
        if kind == SKYSERVE:
            from provisioning.sky_serve import SkyServeTarget

            self._rented[name] = SkyServeTarget(where, _scope(self._root), self._terms, self._left_usd)
            return self._rented[name]
        if not name.startswith(SSH):
            raise KeyError(name)
        return ssh_target(where, _scope(self._root))

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys([LOCAL, *self._used()]))

    def __len__(self) -> int:
        return len(list(iter(self)))

    def close(self) -> None:
        """Let connections go; jobs stay."""
        for target in list(self._made.values()):
            target.close()

    @property
    def rented(self) -> list[SkyTarget | SkyServeTarget]:
        """Places asked for in this process whose machines are rented."""
        return list(self._rented.values())


def ssh_target(host: str, scope: str = "", trust: Trust | None = None, patience: float = 300.0) -> SshTarget:
    """The target of an SSH host, with the folder there that the environment names."""
    from provisioning.ssh import SshTarget

    return SshTarget(host, scope, _remote_root(), trust=trust, patience=patience)


def _remote_root() -> str:
    return os.environ.get(ROOT_VARIABLE, DEFAULT_ROOT)


def scope_of(root: Path) -> str:
    """The name of a session on machines that others use as well; "" when it has none yet. `root` as for `Places`."""
    path = root / "scope"
    return path.read_text(encoding="ascii").strip() if path.is_file() else ""


def _scope(root: Path) -> str:
    """A name for the jobs of this session on machines that others use as well; made once and kept beside the jobs."""
    if not scope_of(root):
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", encoding="ascii", dir=root, prefix=".scope.") as partial:
            partial.write(secrets.token_hex(6))
            partial.flush()
            with suppress(FileExistsError):
                os.link(partial.name, root / "scope")  # the first of several processes or threads wins
    return scope_of(root)
