"""Jobs on a machine reached over SSH: detached there, so that a cut link costs nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from core.errors import ProviderError
from provisioning import ssh_files
from provisioning.facts import Facts
from provisioning.follow import follow
from provisioning.job import Job, JobStatus, Resources, UnknownJobError, job_body
from provisioning.preflight import offer_of
from provisioning.ssh_keys import Trust
from provisioning.ssh_link import Connection, Link
from provisioning.ssh_machine import RemoteMachine
from provisioning.target import DEFAULT_ROOT, Chunk, Offer, Say, silent
from provisioning.tunnel import tunnel

_SECONDS_BETWEEN_CHECKS = 5.0
"""While following, how often the machine is asked whether the job is still alive; its end by itself is seen at once."""


class SshTarget:
    """Another machine as a Target. Job ids are job names; `scope` keeps the jobs of different sessions apart."""

    vanishes = recovers = False

    def __init__(
        self,
        host: str,
        scope: str = "",
        root: str = DEFAULT_ROOT,
        config: Path | None = None,
        trust: Trust | None = None,
        patience: float = 300.0,
    ) -> None:
        """Nothing is connected yet. `host` is a name of the SSH configuration or user@host:port; `root` is the folder there that
        holds everything of ours, `patience` the seconds for which a cut link is tried to be mended."""
        self.name = f"ssh:{host}"
        self.host = host
        self._scope = scope
        self.link = Link(host, config, trust, patience)
        self.machine = RemoteMachine(self.link, root)

    def facts(self) -> Facts:
        """What the machine has."""
        return Facts(**self.machine.ask("facts"))

    def offers(self, need: Resources) -> Sequence[Offer]:
        """One offer: the machine, with the reason why it fits or not."""
        return [offer_of(self.name, self.facts(), need)]

    def prepare(self, need: Resources, say: Say = silent) -> None:
        """Nothing is rented here."""

    def tunnel_command(self, port: int, local_port: int) -> tuple[Sequence[str], Mapping[str, str]]:
        return (self.host, str(port), str(local_port)), {}

    def submit(self, job: Job, say: Say = silent) -> str:
        """Start a job; adopt it when it runs or has succeeded; start it again in its folder when it ended otherwise.

        Raises StepFailed when it cannot be started there (no space, no permission).
        """
        id = self.id_of(job.name)
        found = self.machine.ask("status", id=id)
        if found is not None and found["state"] in ("running", "succeeded"):
            return job.name
        contents = ssh_files.upload(self.machine, job.files)
        self.machine.ask("launch", long=True, id=id, body=job_body(job), secrets=dict(job.secrets), files=contents)
        return job.name

    def status(self, id: str) -> JobStatus:
        found: dict[str, Any] | None = self.machine.ask("status", id=self.id_of(id))
        if found is None:
            raise UnknownJobError(f"there is no job {id} on {self.host}")
        return JobStatus(id, **found)

    def follow(self, id: str, offset: int = 0) -> Iterator[Chunk]:
        self.status(id)
        folder = self.folder_of(id)

        def read(start: int) -> bytes:
            return self.link.call(lambda link: _read_from(link, f"{folder}/events.jsonl", start))

        return follow(read, self._watch(id, f"{folder}/exit.json"), offset)

    def _watch(self, id: str, exit_file: str) -> Callable[[], bool]:
        """Whether the job has ended: cheaply by its last word, now and then by asking for its processes."""
        asked = time.monotonic()

        def ended() -> bool:
            nonlocal asked
            if self.link.call(lambda link: _exists(link, exit_file)):
                return self.status(id).state != "running"
            if time.monotonic() - asked < _SECONDS_BETWEEN_CHECKS:
                return False
            asked = time.monotonic()
            return self.status(id).state != "running"

        return ended

    def fetch(self, id: str, paths: Sequence[str], into: Path) -> None:
        self.status(id)
        ssh_files.download(self.machine, self.id_of(id), paths, into)

    def free_port(self) -> int:
        return int(self.machine.ask("free_port"))

    def expose(self, id: str, port: int) -> AbstractContextManager[str]:
        self.status(id)
        return tunnel(self.link, port)

    def cancel(self, id: str) -> None:
        self.status(id)
        self.machine.ask("cancel", long=True, id=self.id_of(id))

    def down(self, id: str) -> None:
        """Nothing is rented here; only stop."""
        self.cancel(id)

    def list(self) -> Sequence[JobStatus]:
        return [JobStatus(id, **found) for id, found in self.machine.ask("list", id=self._scope).items()]

    def close(self) -> None:
        """Let the connection go; jobs stay."""
        self.link.close()

    def id_of(self, name: str) -> str:
        """A job's folder below the folder of all jobs there."""
        return f"{self._scope}/{name}" if self._scope else name

    def folder_of(self, id: str) -> str:
        """A job's folder there."""
        return f"{self.machine.root}/jobs/{self.id_of(id)}"


def _read_from(link: Connection, path: str, offset: int) -> bytes:
    try:
        with link.sftp.open(path, "rb") as file:
            size = file.stat().st_size or 0
            if size <= offset:
                return b""
            file.seek(offset)
            file.prefetch(size)
            return file.read(size - offset)
    except FileNotFoundError:
        return b""
    except PermissionError as error:
        raise ProviderError(f"{path} may not be read: {error}") from error


def _exists(link: Connection, path: str) -> bool:
    try:
        link.sftp.stat(path)
    except FileNotFoundError:
        return False
    return True
