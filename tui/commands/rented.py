"""Rented machines: which there are, whose they are, and ending those that nobody owns."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import ProviderError, UsageError

if TYPE_CHECKING:
    from provisioning.sky_sdk import Machine


def look_at_rented(home: Path) -> list[dict[str, str]]:
    """A row for each machine of ours that SkyPilot knows; nothing where SkyPilot was never used. Raises ProviderError."""
    return [{"what": f"rented {machine.name}", "state": _state(machine, owner)} for machine, owner in _rented(home)]


def end_rented(name: str, home: Path, say: Callable[[str], None]) -> None:
    """End one machine that no session here owns. Raises UsageError for others, ProviderError when it is still there afterwards."""
    from provisioning import sky_sdk

    owner = {machine.name: owner for machine, owner in _rented(home)}
    if name not in owner:
        raise UsageError(f"there is no rented machine {name}; `calmtune doctor` lists those that are there")
    if owner[name]:
        raise UsageError(f"{name} belongs to session {owner[name]}; `calmtune stop {owner[name]}` ends its jobs and the machine")
    sky_sdk.end(name, say)


def _rented(home: Path) -> Iterator[tuple[Machine, str]]:
    """Machines whose names are ours, with the session that owns each, "" for none."""
    from core.wizard.session import sessions_in
    from provisioning import sky_sdk
    from provisioning.places import scope_of
    from provisioning.sky import PREFIX

    if find_spec("sky") is None or not Path("~/.sky").expanduser().is_dir():
        return
    owners = {scope: folder.name for folder in sessions_in(home) if (scope := scope_of(folder / "jobs"))}
    ours = [machine.name for machine in sky_sdk.machines() if machine.name.startswith(PREFIX)]
    for machine in sky_sdk.machines(ours, ask_cloud=True) if ours else ():
        yield machine, owners.get(machine.name.removeprefix(PREFIX).partition("-")[0], "")


def _state(machine: Machine, owner: str) -> str:
    from provisioning.autostop import overdue

    idle = (
        f"ends itself after {machine.ends_when_idle} idle minutes" if machine.ends_when_idle is not None else "does not end by itself"
    )
    whose = (
        f"of session {owner}; `calmtune stop {owner}` ends it"
        if owner
        else f"of no session here; `calmtune doctor --end {machine.name}` ends it"
    )
    cost = f"${machine.usd_per_hour:.2f} an hour (${machine.accrued:.2f} so far)"
    try:
        late = overdue(machine)
    except ProviderError as error:
        late = f"does not answer ({error})"
    return f"{machine.state}, {machine.what} in {machine.where}, {cost}, {idle}{f'. It {late}' if late else ''}; {whose}"
