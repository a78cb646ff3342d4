"""Places where jobs run, made for tests: the target, where its jobs lie on disk, and how another process would make it."""

from __future__ import annotations

import pwd
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from provisioning.local import LocalTarget
from provisioning.sky import SkyTarget
from provisioning.ssh import SshTarget
from provisioning.target import Target
from provisioning.terms import Terms
from tests.rigs.slurm import CLUSTER, USER, Slurm, running_slurm, sky_knows
from tests.rigs.sshd import Sshd, running_sshd


@dataclass(frozen=True)
class Place:
    """A target under test."""

    target: Target
    jobs: Path
    again: Callable[[], Target]
    """A second client of the same place, as a process that comes later would have it."""
    source: str
    """Python that evaluates to that."""
    logs: tuple[Path, ...] = ()
    """Files and folders to which something else than the job itself writes."""
    rents: bool = False

    def folder(self, id: str) -> Path:
        return self.jobs / id


@contextmanager
def local_place(folder: Path) -> Iterator[Place]:
    jobs = folder / "jobs"
    place = Place(
        LocalTarget(jobs),
        jobs,
        lambda: LocalTarget(jobs),
        f"__import__('provisioning.local').local.LocalTarget(__import__('pathlib').Path({str(jobs)!r}))",
    )
    try:
        yield place
    finally:
        stop_all(place.target)


@contextmanager
def ssh_place(folder: Path, server: Sshd, patience: float = 20.0) -> Iterator[Place]:
    root, config = folder / "there", folder / "ssh_config"
    config.write_text(server.config())
    made: list[SshTarget] = []

    def make() -> SshTarget:
        made.append(SshTarget("box", root=str(root), config=config, patience=patience))
        return made[-1]

    arguments = f"'box', root={str(root)!r}, config=__import__('pathlib').Path({str(config)!r})"
    source = f"__import__('provisioning.ssh').ssh.SshTarget({arguments})"
    try:
        yield Place(make(), root / "jobs", make, source, (server.folder / "sshd.log",))
    finally:
        server.relay.budget, server.relay.refuse = None, False
        last = make()
        stop_all(last)
        for target in made:
            target.close()


def terms() -> Terms:
    return Terms(("A100",), idle_minutes=10)


@contextmanager
def sky_place(folder: Path, rig: Slurm) -> Iterator[Place]:
    """One rented machine for all tests; each has a folder of its own there."""
    root = Path(pwd.getpwnam(USER).pw_dir) / "roots" / folder.name
    shutil.rmtree(root, ignore_errors=True)  # of the same test before: this user's home stays
    made: list[SkyTarget] = []

    def make() -> SkyTarget:
        made.append(SkyTarget(f"slurm/{CLUSTER}", "contract", terms, root=str(root), patience=20))
        return made[-1]

    source = (
        f"__import__('provisioning.sky').sky.SkyTarget('slurm/{CLUSTER}', 'contract', "
        f"lambda: __import__('provisioning.terms').terms.Terms(('A100',), idle_minutes=10), root={str(root)!r}, patience=20)"
    )
    try:
        yield Place(make(), root / "jobs", make, source, (rig.folder, Path.home() / ".sky", root), rents=True)
    finally:
        stop_all(make(), keep=True)
        for target in made:
            target.close()


@contextmanager
def place_of(kind: str, folder: Path, server: Sshd | Slurm | None) -> Iterator[Place]:
    if kind == "local":
        with local_place(folder) as place:
            yield place
    elif kind == "sky":
        assert isinstance(server, Slurm)
        with sky_place(folder, server) as place:
            yield place
    else:
        assert isinstance(server, Sshd)
        with ssh_place(folder, server) as place:
            yield place


@contextmanager
def server_for(kind: str, folder: Path) -> Iterator[Sshd | Slurm | None]:
    """A running server that is trusted, for the kinds of places that need one."""
    if kind == "local":
        yield None
        return
    if kind == "sky":
        with running_slurm() as rig, sky_knows(rig):
            yield rig
            SkyTarget(f"slurm/{CLUSTER}", "contract").release(although_busy=True)
        return
    with running_sshd(folder) as server:
        server.trust()
        yield server


def stop_all(target: Target, keep: bool = False) -> None:
    for status in target.list():
        if status.state == "running":
            (target.cancel if keep else target.down)(status.id)
