"""A place that serves and does nothing else: replicas behind a load balancer, which SkyServe starts, replaces, adds and ends.

A service's name is derived from the session, the job's name and what is asked for, so whoever comes after a crash finds it, and asking for
it twice brings it up once; a service of the job that was asked for otherwise is ended first.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any

from core.errors import BudgetReached, UsageError
from provisioning import serve_sdk, sky_offers, sky_sdk
from provisioning.facts import Facts
from provisioning.job import Job, JobState, JobStatus, Resources, UnknownJobError
from provisioning.serve_sdk import Service
from provisioning.sky import PREFIX, resources_wanted
from provisioning.sky_sdk import Machine
from provisioning.target import Chunk, Offer, Say, silent
from provisioning.terms import Terms

_STATES: Mapping[str, JobState] = {"starting": "running", "ready": "running", "ending": "stopped", "failed": "failed", "broken": "failed"}


class SkyServeTarget:
    """Services on a cloud, or any of them, as a Target. Job ids are services' names. Nothing is asked before it is needed."""

    vanishes = False
    recovers = False

    def __init__(
        self, infra: str, scope: str, terms: Callable[[], Terms] = Terms, left_usd: Callable[[], float | None] = lambda: None
    ) -> None:
        """As for `SkyTarget`."""
        self.infra, self._terms, self._left_usd = infra, terms, left_usd
        self.name = f"skyserve:{infra}" if infra else "skyserve"
        self.machine, self._scope = f"{PREFIX}{scope}", scope
        self._request: str | None = None

    def offers(self, need: Resources) -> Sequence[Offer]:
        """What a replica could be rented as: those that fit first, then by price."""
        terms = self._terms()
        return sky_offers.offers(self.infra, need, terms.gpu_types, terms.spot, terms.max_usd_per_hour)

    def serve(self, job: str, task: Mapping[str, Any], need: Resources, say: Say = silent) -> str:
        """Bring up the service of a job, or adopt it where it is up or comes up; its name. `task` lacks machines, which `need` and the
        session's terms give.

        Raises ProviderError when no machine fits or SkyServe refuses, UsageError when no cloud lets us rent, BudgetReached when no hour of
        it is left.
        """
        wanted = {**task, "resources": {**resources_wanted(self.infra, need, self._terms()), **task.get("resources", {})}}
        name = self._name(job, wanted)
        for service in self._of(job):
            if service.name != name or service.state in ("failed", "ending", "broken"):
                say(f"{service.name} was asked for otherwise or has failed ({service.sentence}); it is ended first")
                serve_sdk.down(service.name, say)
            else:
                say(f"{name} is there already: {service.sentence}")
                return name
        self._require_budget(need, task["service"]["replica_policy"], say)
        try:
            serve_sdk.up(name, wanted, say, partial(setattr, self, "_request"))
        finally:
            self._request = None
        return name

    def _require_budget(self, need: Resources, policy: Mapping[str, Any], say: Say) -> None:
        """Say what the service will cost. Raises BudgetReached when less than an hour of it is left."""
        priced = [offer for offer in self.offers(need) if offer.fits and offer.usd_per_hour > 0]
        if not priced:
            return
        cheapest = min(priced, key=lambda offer: offer.usd_per_hour)
        few, many = policy["min_replicas"], policy["max_replicas"]
        hour = few * cheapest.usd_per_hour
        say(
            f"{few} to {many} replicas, such as {cheapest.name} at ${cheapest.usd_per_hour:.2f} an hour: ${hour:.2f} to "
            f"${many * cheapest.usd_per_hour:.2f} an hour, and SkyServe's controller"
        )
        if (left := self._left_usd()) is None:
            return
        if left < hour:
            raise BudgetReached(
                f"${max(left, 0):.2f} of the budget for machines is left, and an hour of {few} replicas costs ${hour:.2f} or more: "
                "raise session.cloud_budget_usd to go on"
            )
        say(f"the budget is enough for {left / hour:.0f} hours of {few} replicas; SkyServe does not keep to it by itself")

    def service(self, id: str) -> Service | None:
        """The service of a name."""
        return next(iter(serve_sdk.services([id])), None)

    def log(self, id: str) -> str:
        """What the replicas of a service have said last."""
        found = self.service(id)
        return serve_sdk.log_of(found) if found is not None else ""

    def status(self, id: str) -> JobStatus:
        found = self._of(id)
        if not found:
            raise UnknownJobError(f"there is no service {id}")
        return _status(found[0])

    def list(self) -> Sequence[JobStatus]:
        serve_sdk.settle()
        return [_status(service) for service in self._ours()]

    def cancel(self, id: str) -> None:
        """Bring down the service of this name, or of a job of this name, also one that comes up; wait until it is gone."""
        if (request := self._request) is not None:
            sky_sdk.give_up(request)
        serve_sdk.settle()
        for service in self._of(id):
            serve_sdk.down(service.name)

    def down(self, id: str) -> None:
        self.cancel(id)

    def close(self) -> None:
        """Services stay."""

    # What it costs

    def machines(self) -> Sequence[Machine]:
        """Replicas of this session's services, and SkyServe's controller, which other services may share."""
        services = self._ours()
        replicas = [machine for service in services for machine in service.machines]
        return [*replicas, *(serve_sdk.controllers() if services else [])]

    def owns(self, machine: str) -> bool:
        """Whether a machine of this name is one of these."""
        return machine.startswith((f"{self.machine}-s", serve_sdk.CONTROLLER))

    def rented(self) -> Machine | None:
        """A machine of a service, if there is any."""
        return next((machine for service in self._ours() for machine in service.machines), None)

    def release(self, say: Say = silent, although_busy: bool = False) -> bool:
        """Bring down this session's services, unless they serve; whether they are gone. Raises ProviderError when one is still there."""
        services = self._ours()
        if not although_busy and any(service.state in ("starting", "ready") for service in services):
            return False
        for service in services:
            serve_sdk.down(service.name, say)
        return True

    def _ours(self) -> Sequence[Service]:
        return services_of(self._scope)

    def _of(self, id: str) -> Sequence[Service]:
        """Services of a name, or of a job."""
        return [one for one in self._ours() if one.name == id or one.name.startswith(self._beginning(id))]

    def _beginning(self, job: str) -> str:
        return f"{self.machine}-s{hashlib.sha256(job.encode()).hexdigest()[:6]}-"

    def _name(self, job: str, task: Mapping[str, Any]) -> str:
        return self._beginning(job) + hashlib.sha256(json.dumps(task, sort_keys=True).encode()).hexdigest()[:6]

    # What only places that run jobs have

    def prepare(self, need: Resources, say: Say = silent) -> None:
        raise self._only_serves()

    def facts(self) -> Facts:
        raise self._only_serves()

    def tunnel_command(self, port: int, local_port: int) -> tuple[Sequence[str], Mapping[str, str]]:
        raise self._only_serves()

    def submit(self, job: Job, say: Say = silent) -> str:
        raise self._only_serves()

    def follow(self, id: str, offset: int = 0) -> Iterator[Chunk]:
        raise self._only_serves()

    def fetch(self, id: str, paths: Sequence[str], into: Path) -> None:
        raise self._only_serves()

    def free_port(self) -> int:
        raise self._only_serves()

    def expose(self, id: str, port: int) -> AbstractContextManager[str]:
        raise self._only_serves()

    def _only_serves(self) -> UsageError:
        return UsageError(f"{self.name} serves models and runs no jobs; name it for the deployment alone")


def services_of(scope: str) -> list[Service]:
    """A session's services, by its scope. Raises ProviderError when SkyServe cannot be asked."""
    return [service for service in serve_sdk.services() if service.name.startswith(f"{PREFIX}{scope}-s")]


def _status(service: Service) -> JobStatus:
    return JobStatus(service.name, _STATES[service.state], detail=service.sentence)
