"""Rented machines and services: which there are, whose they are, and ending those that nobody owns."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import ProviderError, UsageError
from core.wizard.journal import Journal
from core.wizard.rents import services_brought_up
from core.wizard.session import sessions_in

if TYPE_CHECKING:
    from provisioning.serve_sdk import Service
    from provisioning.sky_sdk import Machine


def look_at_rented(home: Path) -> list[dict[str, str]]:
    """A row for each machine and service of ours that SkyPilot knows; nothing where SkyPilot was never used. Raises ProviderError."""
    if not _is_used():
        return []
    from provisioning.serve_sdk import controllers

    machines = [{"what": f"rented {machine.name}", "state": _state(machine, owner)} for machine, owner in _rented(home)]
    shared = [{"what": f"rented {machine.name}", "state": _shared(machine)} for machine in controllers() if machine.state != "stopped"]
    return [*machines, *_look_at_services(home, expected=bool(shared)), *shared]


def _look_at_services(home: Path, expected: bool) -> list[dict[str, str]]:
    """Rows of services. SkyServe fails without the internet even where it was never used, which is told only where services may run."""
    try:
        return [{"what": f"service {service.name}", "state": _serving(service, owner)} for service, owner in _services(home)]
    except ProviderError as error:
        if not expected and not any(_has_services(folder) for folder in sessions_in(home)):
            return []
        return [{"what": "services", "state": f"cannot be asked for, and may be there: {error}"}]


def _has_services(folder: Path) -> bool:
    if not (database := folder / "session.db").is_file():
        return True  # a journal that is begun anew would forget the session
    try:
        journal = Journal(database)
    except UsageError:
        return True  # for all that is known
    try:
        return bool(services_brought_up(journal))
    finally:
        journal.close()


def end_rented(name: str, home: Path, say: Callable[[str], None]) -> None:
    """End one machine or service that no session here owns. Raises UsageError for others, ProviderError when it is still there."""
    from provisioning import serve_sdk, sky_sdk

    machines = {machine.name: owner for machine, owner in _rented(home)} if _is_used() else {}
    services = {service.name: owner for service, owner in _services(home)} if _is_used() and name not in machines else {}
    owners: Mapping[str, str] = {**machines, **services}
    if name not in owners:
        raise UsageError(f"there is no rented machine {name}; `calmtune doctor` lists those that are there")
    if owner := owners[name]:
        raise UsageError(f"{name} belongs to session {owner}; `calmtune stop {owner}` ends its jobs and what was rented for them")
    (sky_sdk.end if name in machines else serve_sdk.down)(name, say)


def _is_used() -> bool:
    """Whether SkyPilot is installed and has rented anything."""
    return find_spec("sky") is not None and Path("~/.sky").expanduser().is_dir()


def _rented(home: Path) -> Iterator[tuple[Machine, str]]:
    """Machines whose names are ours, with the session that owns each, "" for none."""
    from provisioning import sky_sdk
    from provisioning.sky import PREFIX

    owners = _owners(home)
    ours = [machine.name for machine in sky_sdk.machines() if machine.name.startswith(PREFIX)]
    for machine in sky_sdk.machines(ours, ask_cloud=True) if ours else ():
        yield machine, owners.get(_scope_in(machine.name), "")


def _services(home: Path) -> Iterator[tuple[Service, str]]:
    """The same of services."""
    from provisioning import serve_sdk
    from provisioning.sky import PREFIX

    owners = _owners(home)
    for service in serve_sdk.services():
        if service.name.startswith(PREFIX):
            yield service, owners.get(_scope_in(service.name), "")


def _owners(home: Path) -> dict[str, str]:
    """Names of sessions by what their machines' names have of them."""
    from provisioning.places import scope_of

    return {scope: folder.name for folder in sessions_in(home) if (scope := scope_of(folder / "jobs"))}


def _scope_in(name: str) -> str:
    from provisioning.sky import PREFIX

    return name.removeprefix(PREFIX).partition("-")[0]


def _serving(service: Service, owner: str) -> str:
    cost = f"${service.usd_per_hour:.2f} an hour (${service.accrued:.2f} so far)"
    return f"{service.state}, {service.sentence}, at {service.endpoint or 'no address yet'}, {cost}; {_whose(service.name, owner)}"


def _shared(machine: Machine) -> str:
    return (
        f"{machine.state}, {machine.what} in {machine.where}, ${machine.usd_per_hour:.2f} an hour; the load balancers of SkyServe's "
        f"services run there, it stops itself when there are none, and `sky down {machine.name}` ends it"
    )


def _whose(name: str, owner: str) -> str:
    if owner:
        return f"of session {owner}; `calmtune stop {owner}` ends it"
    return f"of no session here; `calmtune doctor --end {name}` ends it"


def _state(machine: Machine, owner: str) -> str:
    from provisioning.autostop import overdue

    idle = (
        f"ends itself after {machine.ends_when_idle} idle minutes" if machine.ends_when_idle is not None else "does not end by itself"
    )
    cost = f"${machine.usd_per_hour:.2f} an hour (${machine.accrued:.2f} so far)"
    try:
        late = overdue(machine)
    except ProviderError as error:
        late = f"does not answer ({error})"
    idle += f". It {late}" if late else ""
    return f"{machine.state}, {machine.what} in {machine.where}, {cost}, {idle}; {_whose(machine.name, owner)}"
