"""SkyServe's client behind few words: bring a service up, ask for services, bring one down.

A service is replicas, which SkyPilot rents and replaces, behind a load balancer on SkyServe's controller, a small machine that all services
share (https://docs.skypilot.co/en/latest/serving/sky-serve.html). Its machines are not among those that `sky_sdk.machines` lists, but
the controller is. Nothing secret is ever given to it: it writes down what it is given.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from core.errors import ProviderError
from provisioning import sky_sdk
from provisioning.chatter import Lines, quiet
from provisioning.sky_sdk import Machine, MachineState
from provisioning.target import Say

ServiceState = Literal["starting", "ready", "failed", "ending", "broken"]
"""failed: no replica is ready and one has failed; broken: SkyServe itself cannot run or end it any more."""
CONTROLLER = "sky-serve-controller-"
"""Begins the name of the machine with the load balancers."""
_STATES: Mapping[str, ServiceState] = {
    "READY": "ready", "FAILED": "failed", "SHUTTING_DOWN": "ending", "CONTROLLER_FAILED": "broken", "FAILED_CLEANUP": "broken",
}  # fmt: skip
_GONE = ("PENDING", "PREEMPTED", "FAILED_PROVISION")
"""Replicas in these states have no machine."""
_END_SECONDS = 600.0
_LOOK_SECONDS = 5.0


@dataclass(frozen=True)
class Replica:
    """One machine of a service."""

    state: str
    """As SkyServe calls it: provisioning, starting, ready, not ready, failed."""
    machine: Machine


@dataclass(frozen=True)
class Service:
    """A service that SkyServe knows."""

    name: str
    state: ServiceState
    endpoint: str
    """Of the load balancer; "" until it has one."""
    replicas: tuple[Replica, ...]

    @property
    def machines(self) -> list[Machine]:
        """Those that cost something now."""
        return [one.machine for one in self.replicas if one.state.upper().replace(" ", "_") not in _GONE]

    @property
    def usd_per_hour(self) -> float:
        return sum(machine.usd_per_hour for machine in self.machines)

    @property
    def accrued(self) -> float:
        """US dollars of the replicas there are now, by the price in SkyPilot's catalog."""
        return sum(machine.accrued for machine in self.machines if machine.since)

    @property
    def sentence(self) -> str:
        """How its replicas are: "2 ready, 1 starting"."""
        states = [one.state for one in self.replicas]
        return ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states)) or "no replicas"


def up(name: str, task: dict[str, Any], say: Say, note: Callable[[str], None]) -> None:
    """Bring up the service that a task describes, under a name that SkyServe gives only once: nothing where there is one already.

    `note` gets the request's id before anything is waited for. Raises ProviderError and UsageError.
    """
    module = sky_sdk.sky()
    with sky_sdk.in_words(f"{name} cannot be brought up"):
        if services([name]):
            return
        with quiet(say):
            request = _serve().up(module.Task.from_yaml_config(task), name)
        note(str(request))
        try:
            module.stream_and_get(request, output_stream=Lines(say))
        except Exception:
            if not services([name]):  # else an earlier request for the same came first
                raise


def services(names: Sequence[str] | None = None) -> list[Service]:
    """Services by name, all when None is given; one that is gone is not among them. Asks the controller (seconds)."""
    module = sky_sdk.sky()
    with sky_sdk.in_words("the services cannot be listed"):
        try:
            records = module.get(_serve().status(list(names) if names is not None else None))
        except module.exceptions.ClusterNotUpError as error:
            if any(machine.state != "stopped" for machine in controllers()):
                raise ProviderError(f"SkyServe's controller does not answer: {error}") from error
            return []  # it stops itself once it has no services
        return [_service(record) for record in records]


def controllers() -> list[Machine]:
    """SkyServe's controller, where it is a machine of its own."""
    return [machine for machine in sky_sdk.machines() if machine.name.startswith(CONTROLLER)]


def down(name: str, say: Say = lambda line: None, seconds: float = _END_SECONDS) -> None:
    """Bring a service down and wait until it is gone; nothing when there is none. Raises ProviderError when it is still there."""
    module = sky_sdk.sky()
    deadline = time.monotonic() + seconds
    asked = False
    while found := services([name]):
        (service,) = found
        if time.monotonic() > deadline:
            raise ProviderError(f"{name} is still there after it was ended ({service.sentence}); look at it with `sky serve status {name}`")
        if service.state == "broken":
            machines = ", ".join(machine.name for machine in service.machines) or "none that it knows"
            raise ProviderError(
                f"SkyServe cannot end {name} by itself any more; its machines: {machines}. Look for them at your cloud and end them, then "
                f"`sky serve down {name} --purge`"
            )
        if not asked and service.state != "ending":
            with sky_sdk.in_words(f"{name} could not be ended"), contextlib.suppress(module.exceptions.ClusterNotUpError):
                module.stream_and_get(_serve().down([name]), output_stream=Lines(say))
            asked = True
        time.sleep(_LOOK_SECONDS)


def settle(seconds: float = _END_SECONDS) -> None:
    """Wait while services are asked for whose names SkyServe does not list yet. Raises ProviderError when that takes too long."""
    deadline = time.monotonic() + seconds
    while one_comes_up():
        if time.monotonic() > deadline:
            raise ProviderError("a service was asked for and may still come up; `sky api status` and `sky serve status` tell of it")
        time.sleep(_LOOK_SECONDS)


def log_of(service: Service, lines: int = 200) -> str:
    """The last lines that each replica has said, as far as it can be asked."""
    said: list[str] = []
    for replica in service.replicas:
        said.append(f"== {replica.machine.name}: {replica.state}")
        with contextlib.suppress(Exception):  # it may have gone meanwhile
            stream = Lines(said.append)
            number = int(replica.machine.name.rpartition("-")[2])
            _serve().tail_logs(service.name, target="replica", replica_id=number, follow=False, tail=lines, output_stream=stream)
    return "\n".join(said) + "\n"


def one_comes_up() -> bool:
    """Whether a request for a service is under way, maybe of a process that has ended since: its service is not listed yet."""
    with sky_sdk.in_words("SkyPilot's requests cannot be listed"):
        requests = sky_sdk.sky().api_status()
        return any(one.name.endswith("serve.up") and str(one.status) in ("PENDING", "RUNNING") for one in requests)


def _serve() -> Any:
    sky_sdk.sky()
    from sky import serve

    return serve


def _service(record: Mapping[str, Any]) -> Service:
    replicas = tuple(_replica(one, record["name"]) for one in record.get("replica_info") or ())
    state = _STATES.get(record["status"].value, "starting")
    endpoint = record.get("endpoint") or ""
    return Service(record["name"], state, "" if endpoint.endswith("None") else endpoint, replicas)


def _replica(record: Mapping[str, Any], service: str) -> Replica:
    status = str(record["status"].value)
    what = str(record.get("resources_str_full") or "")
    gpus = re.search(r"gpus=([^:,()]+):(\d+)", what)
    instance = next((part for part in re.split(r"[(,)]\s*", what)[1:] if part and "=" not in part and part != "..."), "")
    state: MachineState = "ending" if status == "SHUTTING_DOWN" else "starting" if status in ("PENDING", "PROVISIONING") else "up"
    machine = Machine(
        name=str(record["name"]),
        state=state,
        where=str(record.get("infra") or record.get("region") or ""),
        instance=instance,
        gpu_type=gpus[1] if gpus else "",
        gpus=int(gpus[2]) if gpus else 0,
        usd_per_hour=0.0,
        since=float(record.get("launched_at") or 0),
        spot=bool(record.get("is_spot")),
        ends_when_idle=None,
        service=service,
    )
    return Replica(status.lower().replace("_", " "), replace(machine, usd_per_hour=_price(machine, record)))


def _price(machine: Machine, record: Mapping[str, Any]) -> float:
    """US dollars an hour by SkyPilot's catalog, which is read here; 0 where there is no price or no machine yet."""
    if not machine.instance or not record.get("cloud"):
        return 0.0
    infra = f"{str(record['cloud']).lower()}/{record['region']}" if record.get("region") else str(record["cloud"]).lower()
    accelerators = {machine.gpu_type: machine.gpus} if machine.gpus else None
    with contextlib.suppress(Exception):  # a catalog without it is no reason not to tell of the machine
        wanted = sky_sdk.sky().Resources(
            infra=infra, instance_type=machine.instance, accelerators=accelerators, use_spot=machine.spot
        )  # fmt: skip
        return float(wanted.get_cost(3600))
    return 0.0
