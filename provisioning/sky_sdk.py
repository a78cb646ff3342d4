"""SkyPilot's client behind few words: rent a machine, ask for machines, queue a command there, end it.

SkyPilot is imported by the first call (seconds, so from a worker thread) and starts its own local API server, which does the work and goes
on with it when this process ends (docs.skypilot.co/en/latest/reference/api.html). Nothing secret is ever given to it: it writes down what
it is given.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from core.collector import spare_what_is_there, without_collector
from core.errors import ProviderError, UsageError
from provisioning.chatter import ANSI, Lines, quiet
from provisioning.target import Say

MachineState = Literal["starting", "up", "ending", "stopped"]
_UNFINISHED = ("INIT", "PENDING", "SETTING_UP", "RUNNING")
_LOGIN_SECONDS = 120.0


@dataclass(frozen=True)
class Machine:
    """A machine that SkyPilot knows."""

    name: str
    state: MachineState
    """starting: under way, or in a state SkyPilot cannot tell; ending: by itself, after its idle minutes."""
    where: str
    """Cloud, region and zone, as SkyPilot writes them: "AWS (us-east-1a)"."""
    instance: str
    gpu_type: str
    """SkyPilot's name; "" without one."""
    gpus: int
    """Of each node."""
    usd_per_hour: float
    """Of all nodes."""
    since: float
    """Unix time of its last launch."""
    spot: bool
    ends_when_idle: int | None
    """Minutes without a job after which it ends by itself; None when it does not."""
    service: str = ""
    """The service it is a replica of; "" for a machine of its own."""
    nodes: int = 1
    """Machines that are rented and ended as one."""

    @property
    def what(self) -> str:
        each = f"{self.instance}, {self.gpus} × {self.gpu_type}" if self.gpus else self.instance
        return f"{self.nodes} nodes of {each}" if self.nodes > 1 else each

    @property
    def accrued(self) -> float:
        """US dollars since its launch, by the price in SkyPilot's catalog: disks and traffic come on top."""
        return max(0.0, time.time() - self.since) / 3600 * self.usd_per_hour


def sky() -> Any:
    """The module. Raises UsageError where it is not installed."""
    os.environ.setdefault("SKYPILOT_DISABLE_USAGE_COLLECTION", "1")
    try:
        first = "sky" not in sys.modules
        with without_collector():
            import sky as module

            if first:  # before the collector wakes, which would go over all of it
                spare_what_is_there()
    except ImportError as error:
        raise UsageError(
            f"SkyPilot cannot be used here ({error}); install it beside calmtune with `pip install 'calmtune[cloud]'` and the "
            "extra of your cloud, as in `pip install 'skypilot[aws]'`"
        ) from error
    return module


@contextlib.contextmanager
def in_words(what: str) -> Iterator[None]:
    """Turns what SkyPilot raises into ours."""
    exceptions = sky().exceptions
    try:
        yield
    except (ProviderError, UsageError):
        raise
    except (exceptions.NoCloudAccessError, exceptions.ProvisionPrechecksError, exceptions.InvalidClusterNameError) as error:
        raise UsageError(f"{what}: {_sentence(error)}; `sky check` tells which clouds are ready") from error
    except exceptions.ResourcesUnavailableError as error:
        raise ProviderError(f"{what}: no machine is to be had now: {_sentence(error)}") from error
    except Exception as error:  # it raises what the cloud's own library raised
        raise ProviderError(f"{what}: {_sentence(error)}") from error


def rent(name: str, task: dict[str, Any], say: Say, note: Callable[[str], None]) -> None:
    """Rent the machine that a task without commands describes, under a name; the same name again goes on with what is there.

    `note` gets the request's id before anything is waited for. Raises ProviderError and UsageError.
    """
    module = sky()
    with in_words(f"{name} cannot be rented"):
        with quiet(say):
            request = module.launch(module.Task.from_yaml_config(task), cluster_name=name)
        note(str(request))
        module.stream_and_get(request, output_stream=Lines(say))


def give_up(request: str) -> None:
    """Stop a request that is under way; what it has rented already stays."""
    module = sky()
    with contextlib.suppress(Exception):  # it may have ended meanwhile
        module.get(module.api_cancel(request, silent=True))


def machines(names: Sequence[str] | None = None, ask_cloud: bool = False) -> list[Machine]:
    """Machines by name, all when None is given; one that is gone is not among them.

    What SkyPilot remembers, unless `ask_cloud`: then what the cloud says (seconds a machine).
    """
    module = sky()
    refresh = module.StatusRefreshMode.FORCE if ask_cloud else module.StatusRefreshMode.NONE
    with in_words("the machines cannot be listed"):
        records = module.get(module.status(list(names) if names is not None else None, refresh=refresh))
        return [_machine(record) for record in records]


def _machine(record: Any) -> Machine:
    handle = record["handle"]
    resources: Any = getattr(handle, "launched_resources", None)
    known = resources is not None and resources.is_launchable()
    states: dict[str, MachineState] = {"UP": "up", "STOPPED": "stopped", "AUTOSTOPPING": "ending"}
    gpu_type, gpus = next(iter(((known and resources.accelerators) or {}).items()), ("", 0))
    nodes = int(getattr(handle, "launched_nodes", 1) or 1)
    return Machine(
        name=record["name"],
        state=states.get(record["status"].value, "starting"),
        where=f"{resources.cloud} ({resources.zone or resources.region})" if known else "",
        instance=str(resources.instance_type) if known else "",
        gpu_type=gpu_type,
        gpus=int(gpus),
        usd_per_hour=float(resources.get_cost(3600)) * nodes if known else 0.0,
        since=float(record["launched_at"] or 0),
        spot=bool(known and resources.use_spot),
        ends_when_idle=record["autostop"] if record["autostop"] >= 0 and record["to_down"] else None,
        nodes=nodes,
    )


def idle_since(machine: Machine) -> float | None:
    """Unix time since which a machine that is up has no job; None while it has one. Asks the machine."""
    module = sky()
    with in_words(f"{machine.name} does not tell its jobs"):
        jobs = module.get(module.queue(machine.name))
    if any(job["status"].value in _UNFINISHED for job in jobs):
        return None
    return max([machine.since, *(float(job["end_at"] or 0) for job in jobs)])


def costs(name: str) -> dict[float, float]:
    """What machines of a name have cost, those that are gone too, by the time of their launch: US dollars by SkyPilot's catalog."""
    module = sky()
    with in_words("what machines have cost cannot be told"):
        records = module.get(module.cost_report())
        return {float(one["launched_at"] or 0): float(one["total_cost"] or 0) for one in records if one["name"] == name}


def queue(machine: str, task: dict[str, Any], say: Say) -> None:
    """Queue a task's command on a machine that is up, unless one of the same name waits or runs there."""
    module = sky()
    with in_words(f"{machine} takes no job"):
        waiting = {job["job_name"] for job in module.get(module.queue(machine)) if job["status"].value in _UNFINISHED}
        if task["name"] not in waiting:
            with quiet(say):
                request = module.exec(module.Task.from_yaml_config(task), cluster_name=machine)
            module.stream_and_get(request, output_stream=Lines(say))


def unqueue(machine: str, name: str) -> None:
    """End the tasks of a name that wait or run in a machine's queue."""
    module = sky()
    with in_words(f"{machine} does not let go of {name}"):
        unfinished = [job for job in module.get(module.queue(machine)) if job["job_name"] == name and job["status"].value in _UNFINISHED]
        if unfinished:
            module.get(module.cancel(machine, job_ids=[job["job_id"] for job in unfinished]))


def end(name: str, say: Say = lambda line: None) -> None:
    """End a machine; nothing when there is none. Raises ProviderError when it is still there afterwards."""
    module = sky()
    with in_words(f"{name} could not be ended"), contextlib.suppress(module.exceptions.ClusterDoesNotExist):
        module.stream_and_get(module.down(name), output_stream=Lines(say))
    if machines([name], ask_cloud=True):
        raise ProviderError(f"{name} is still there after it was ended; look at it with `sky status --refresh {name}`")


def login_file(name: str) -> Path:
    """Where SkyPilot writes the SSH configuration of a machine; it is gone when the machine is."""
    return Path("~/.sky/generated/ssh").expanduser() / name


def login(machine: Machine) -> Path:
    """The SSH configuration that leads to a machine which is up, under its name. Raises ProviderError."""
    name, path = machine.name, login_file(machine.name)
    if path.is_file() and path.stat().st_mtime > machine.since:
        return path
    program = Path(sys.executable).with_name("sky")
    command = [str(program) if program.exists() else "sky", "status", name]
    environment = {**os.environ, "SKYPILOT_DISABLE_USAGE_COLLECTION": "1"}
    try:  # the only public way to have SkyPilot write the configuration of a machine
        done = subprocess.run(command, capture_output=True, text=True, timeout=_LOGIN_SECONDS, check=False, env=environment)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ProviderError(f"`sky status {name}` cannot be run: {error}") from error
    if not path.is_file():
        raise ProviderError(f"SkyPilot leaves no SSH configuration for {name}: {_last(done.stderr or done.stdout)}")
    return path


def _sentence(error: Exception) -> str:
    lines = _lines_of(str(error))
    return (lines[0].rstrip(".") if lines else type(error).__name__)[:500]


def _last(text: str) -> str:
    lines = _lines_of(text)
    return lines[-1][:300] if lines else "it says nothing"


def _lines_of(text: str) -> list[str]:
    """Lines that say something, without colours."""
    return [line.strip() for line in ANSI.sub("", text).splitlines() if line.strip()]
