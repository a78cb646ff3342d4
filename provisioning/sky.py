"""Jobs on rented machines: SkyPilot rents, feeds its queue and ends them; over SSH they are machines like any other.

One machine for a session and a place, of one node or several (see sky_nodes.py). Its name is derived from both, so whoever comes after a
crash finds it, and asking for it twice rents it once. A slot of SkyPilot's queue is held for each job (see holder.py), so the machine
counts as busy and its GPUs are given out by it; the job itself, with its files and its secrets, goes over SSH.
"""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from core.errors import BudgetReached, ProviderError, StepFailed, UsageError
from provisioning import sky_nodes, sky_offers, sky_sdk
from provisioning.facts import Facts
from provisioning.job import Job, JobStatus, Resources, UnknownJobError
from provisioning.sky_sdk import Machine
from provisioning.ssh import SshTarget
from provisioning.ssh_hosts import CONFIG_VARIABLE
from provisioning.ssh_link import CutError
from provisioning.target import DEFAULT_ROOT, Chunk, Offer, Say, silent
from provisioning.terms import Terms
from provisioning.tunnel import ANY_KEY

PREFIX = "calmtune-"
"""Begins the name of every machine rented by us."""
_SECONDS_BETWEEN_LOOKS = 60.0
"""While following, how often the cloud is asked whether the machine is still there."""
_SECONDS_BETWEEN_NODES = 1.0
_SHORTEST_SECONDS = 60.0
"""A job for which the budget leaves less is not begun."""

GONE = "the machine {machine} is not there: it was taken back by the cloud, ended itself after its idle minutes, or was ended from outside"


class SkyTarget:
    """A cloud, or any of them, as a Target. Job ids are job names."""

    vanishes = True

    def __init__(
        self, infra: str, scope: str, terms: Callable[[], Terms] = Terms, left_usd: Callable[[], float | None] = lambda: None,
        root: str = DEFAULT_ROOT, patience: float = 300.0,
    ) -> None:  # fmt: skip
        """`infra` as SkyPilot writes it (aws, gcp/us-central1, slurm/cluster, k8s/context), "" for whichever is cheapest; `scope` keeps the
        machines of different sessions apart; `terms` and `left_usd`, what is left of the budget, are asked each time they
        matter. Nothing is rented or asked yet."""
        self.infra, self._terms = infra, terms
        self.name = f"sky:{infra}" if infra else "sky"
        self.machine = PREFIX + scope + (f"-{infra.replace('/', '-').lower()}" if infra else "")
        self._left_usd, self._root, self._patience = left_usd, root, patience
        self._nodes: list[SshTarget] = []
        self._request: str | None = None
        self._cancelled: set[str] = set()
        self._lock, self._way_lock = threading.Lock(), threading.RLock()

    @property
    def terms(self) -> Terms:
        """On which terms the next machine is rented."""
        return self._terms()

    @property
    def recovers(self) -> bool:
        return self.terms.spot

    # What there is and what it costs

    def offers(self, need: Resources) -> Sequence[Offer]:
        """What could be rented for a need: those that fit first, then by price."""
        return sky_offers.offers(self.infra, need, self.terms.gpu_types, self.terms.spot, self.terms.max_usd_per_hour)

    def rented(self, ask_cloud: bool = False) -> Machine | None:
        """The machine, if it is rented."""
        return next(iter(sky_sdk.machines([self.machine], ask_cloud)), None)

    def machines(self) -> Sequence[Machine]:
        """As `rented`, of which there is one or none."""
        have = self.rented()
        return [have] if have is not None else []

    def owns(self, machine: str) -> bool:
        """Whether a machine of this name is one of these."""
        return machine == self.machine

    def facts(self) -> Facts:
        """What the rented machine has. Raises ProviderError when none is rented."""
        return self._reached().facts()

    def prepare(self, need: Resources, say: Say = silent) -> None:
        """Rent the machine unless that is done. Raises as `submit`."""
        self._have(need, say)

    def tunnel_command(self, port: int, local_port: int) -> tuple[Sequence[str], Mapping[str, str]]:
        return (self.machine, str(port), str(local_port), ANY_KEY), {CONFIG_VARIABLE: str(sky_sdk.login(self._up()))}

    # Jobs

    def submit(self, job: Job, say: Say = silent) -> str:
        """Rent the machine unless that is done, and start the job there, or adopt the one of its name that runs or has succeeded.

        Raises ProviderError when no machine is to be had, UsageError when no cloud lets us rent.
        """
        try:
            return self._submit(job, say)
        except (CutError, UsageError) as error:
            if not self._nodes or not self._is_lost(error):
                raise
            say(f"{self.machine} is gone; another machine is rented in its place")
            self._forget_way()
            return self._submit(job, say)

    def _submit(self, job: Job, say: Say) -> str:
        machine = self._have(job.resources, say)
        nodes = self._ways()[: job.resources.nodes]
        with contextlib.suppress(UnknownJobError):
            found = sky_nodes.status(nodes, job.name)
            if found.state == "running":
                sky_nodes.complete(nodes[1:], job)
            if found.state in ("running", "succeeded"):
                return job.name
        job = self._within_budget(job, machine, say)
        if len(nodes) > 1:  # what an earlier run may have left
            sky_sdk.unqueue(self.machine, job.name)
            sky_nodes.cancel(nodes[1:], job.name)
        contents = sky_nodes.upload(nodes, job.files)
        task = sky_nodes.slot(nodes, job, machine)
        sky_nodes.hand_over(nodes, job, contents, lambda: sky_sdk.queue(self.machine, task, say))
        return job.name

    def _within_budget(self, job: Job, machine: Machine, say: Say) -> Job:
        """The job with a limit that the machine itself keeps when nobody watches it any more. Raises BudgetReached when nothing is left;
        the machine is ended then, unless other jobs run there."""
        left = self._left_usd()
        if left is None or not machine.usd_per_hour > 0:
            return job
        seconds = left / machine.usd_per_hour * 3600
        if seconds < _SHORTEST_SECONDS:
            self.release(say)
            raise BudgetReached(
                f"${max(left, 0):.2f} of the budget for machines is left, less than a minute of {self.machine} at "
                f"${machine.usd_per_hour:.2f} an hour: raise session.cloud_budget_usd to go on"
            )
        if seconds >= job.limit_seconds:
            return job
        say(f"the budget is enough for {seconds / 60:.0f} minutes of this machine: the job is stopped there after that")
        return replace(job, limit_seconds=seconds)

    def _have(self, need: Resources, say: Say) -> Machine:
        """A machine that is up and meets the need; one that idles and does not is ended first."""
        with self._lock:
            have = self.rented(ask_cloud=not self._nodes)  # one that was reached is missed when it is gone
            up = have if have is not None and have.state == "up" else None
            if up is not None and meets(up, need):
                return up
            task = self._task(need)  # before anything is ended: what is wanted may not be to be had
            if up is not None:
                say(f"{self.machine} has {up.what}, this job needs {need.wanted}: another machine is rented in its place")
                if busy := [status.id for status in self.list() if status.state == "running"]:
                    raise StepFailed(f"{self.machine} is still at work on {', '.join(busy)}; end that first")
                self._end(say)
            self._forget_way()
            try:
                sky_sdk.rent(self.machine, task, say, partial(setattr, self, "_request"))
            finally:
                self._request = None
            rented = self.rented()
            if rented is None or rented.state != "up":
                raise ProviderError(f"{self.machine} did not come up; `sky status {self.machine}` says more")
            say(f"{self.machine}: {rented.what} in {rented.where} at ${rented.usd_per_hour:.2f} an hour{' (spot)' * rented.spot}")
            return rented

    def _task(self, need: Resources) -> dict[str, Any]:
        """What SkyPilot is asked for: nothing to run, only the machine. Raises ProviderError when nothing fits."""
        terms = self.terms
        resources = resources_wanted(self.infra, need, terms)
        resources["autostop"] = {"idle_minutes": terms.idle_minutes, "down": True, "wait_for": "jobs"}
        return {"name": self.machine, "resources": resources, **({"num_nodes": need.nodes} if need.nodes > 1 else {})}

    def status(self, id: str) -> JobStatus:
        if self._is_up():
            try:
                found = sky_nodes.status(self._ways(), id)
            except (CutError, UsageError) as error:
                if not self._is_lost(error):
                    raise
            else:
                # A machine that is taken back ends its jobs first, as if somebody had stopped them.
                if found.state != "stopped" or id in self._cancelled or self._is_up(ask_cloud=True):
                    return found
        return JobStatus(id, "interrupted", detail=GONE.format(machine=self.machine), lost=True)

    def follow(self, id: str, offset: int = 0) -> Iterator[Chunk]:
        looked = time.monotonic()
        while self._is_up():
            try:
                for chunk in self._reached().follow(id, offset):
                    offset = chunk.offset
                    yield chunk
                    if time.monotonic() - looked > _SECONDS_BETWEEN_LOOKS:
                        looked = time.monotonic()
                        if self.rented(ask_cloud=True) is None:
                            return
            except (CutError, UsageError) as error:
                if not self._is_lost(error):
                    raise
            else:
                break
        while self._is_up() and self._further_at_work(id):
            yield Chunk(b"", offset)
            time.sleep(_SECONDS_BETWEEN_NODES)

    def _further_at_work(self, id: str) -> bool:
        """Whether further nodes go on with a job that has succeeded on the head."""
        with contextlib.suppress(CutError, UsageError):  # as `status` will say
            found = self._reached().status(id)
            return found.nodes > 1 and sky_nodes.status(self._ways(), id).state == "running"
        return False

    def fetch(self, id: str, paths: Sequence[str], into: Path) -> None:
        self._reached().fetch(id, paths, into)

    def free_port(self) -> int:
        return self._reached().free_port()

    def expose(self, id: str, port: int) -> AbstractContextManager[str]:
        return self._reached().expose(id, port)

    def cancel(self, id: str) -> None:
        """Stop the job, and the renting of a machine that is under way; what was rented for it is let go unless other jobs run there."""
        if (request := self._request) is not None:
            sky_sdk.give_up(request)
            self.release()
        elif self._is_up():
            self._cancelled.add(id)
            try:
                self._reached().cancel(id)
            finally:
                sky_nodes.cancel(self._ways()[1:], id)

    def down(self, id: str) -> None:
        """Stop the job and end the machine unless other jobs run there. Raises ProviderError when it is still there afterwards."""
        with contextlib.suppress(UnknownJobError):
            self.cancel(id)
        self.release()

    def release(self, say: Say = silent, although_busy: bool = False) -> bool:
        """End the machine unless jobs run there; whether it is gone. Raises ProviderError when it is still there afterwards."""
        if not although_busy and any(status.state == "running" for status in self.list()):
            return False
        self._end(say)
        return True

    def list(self) -> Sequence[JobStatus]:
        return self._reached().list() if self._is_up() else []

    def close(self) -> None:
        """Let the connection go; jobs and machines stay."""
        self._forget_way()

    # The machine

    def _is_lost(self, error: Exception) -> bool:
        """Whether what went wrong is that the machine is gone: the link is cut, or SkyPilot has taken its SSH configuration away."""
        cut = isinstance(error, CutError) or not sky_sdk.login_file(self.machine).is_file()
        return cut and self.rented(ask_cloud=True) is None

    def _is_up(self, ask_cloud: bool = False) -> bool:
        return self._found_up(ask_cloud) is not None

    def _found_up(self, ask_cloud: bool = False) -> Machine | None:
        """The machine if it is up: as SkyPilot remembers, and where that is no, as the cloud says."""
        have = self.rented(ask_cloud)
        if have is not None and have.state != "up" and not ask_cloud:
            have = self.rented(ask_cloud=True)
        return have if have is not None and have.state == "up" else None

    def _up(self) -> Machine:
        """The machine, which must be up. Raises ProviderError."""
        machine = self._found_up()
        if machine is None:
            raise ProviderError(GONE.format(machine=self.machine))
        return machine

    def _reached(self) -> SshTarget:
        """The way to the machine; to its head where it has several nodes. Raises ProviderError when it is not up."""
        return self._ways()[0]

    def _ways(self) -> Sequence[SshTarget]:
        """The ways to its nodes, found once."""
        with self._way_lock:
            if not self._nodes:
                machine = self._up()
                config = sky_sdk.login(machine)

                def way(host: str, scope: str) -> SshTarget:
                    # The machine is minutes old and its address comes from the cloud itself: there is no key to compare its own with.
                    return SshTarget(host, scope, self._root, config, trust=lambda stranger: True, patience=self._patience)

                self._nodes = sky_nodes.ways(machine, way)
            return self._nodes

    def _forget_way(self) -> None:
        with self._way_lock:
            for node in self._nodes:
                node.close()
            self._nodes = []

    def _end(self, say: Say) -> None:
        self._forget_way()
        sky_sdk.end(self.machine, say)


def resources_wanted(infra: str, need: Resources, terms: Terms) -> dict[str, Any]:
    """Machines that meet a need on these terms, as SkyPilot's tasks name them. Raises ProviderError when nothing fits."""
    resources: dict[str, Any] = {"cpus": f"{need.cpus}+", "memory": f"{need.memory_gb:.0f}+", "use_spot": terms.spot}
    if infra:
        resources["infra"] = infra
    if not sky_offers.is_scheduler(infra):
        resources["disk_size"] = math.ceil(need.disk_gb)
        if terms.max_usd_per_hour is not None:
            resources["max_hourly_cost"] = terms.max_usd_per_hour / need.nodes  # SkyPilot means each
    if need.gpus:
        found = sky_offers.offers(infra, need, terms.gpu_types, terms.spot, terms.max_usd_per_hour)
        fitting = list(dict.fromkeys((offer.gpu_type, offer.gpus) for offer in found if offer.fits))
        if not fitting:
            why = f": {found[0].name}: {found[0].reason}" if found else ""
            wanted = need.wanted if need.gpu_counts else f"{need.gpus} × {' or '.join(terms.gpu_types)}"
            raise ProviderError(f"no machine with {wanted} is to be had from {infra or 'any cloud'}{why}")
        resources["any_of"] = [{"accelerators": {gpu_type: gpus}} for gpu_type, gpus in fitting]
    if not infra and need.nodes > 1:
        kinds = resources.pop("any_of", [{}])
        clouds = sorted(cloud for cloud in sky_offers.ready_clouds() if sky_offers.has_nodes(cloud))
        resources["any_of"] = [{"infra": cloud, **kind} for cloud in clouds for kind in kinds]
    return resources


def meets(machine: Machine, need: Resources) -> bool:
    """Whether a rented machine has the nodes and GPUs of a need."""
    needed = need.gpus_of(machine.gpu_type)
    return machine.nodes >= need.nodes and (not need.gpus or (needed is not None and machine.gpus >= needed))
