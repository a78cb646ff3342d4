"""What a session's rented machines cost, as the journal remembers it."""

from __future__ import annotations

from dataclasses import dataclass

from core.wizard.journal import JobRecord, Journal
from provisioning.place_names import SKYSERVE

KIND = "machine"


@dataclass(frozen=True)
class Rent:
    """One machine from its launch on, as it was last seen."""

    name: str
    since: float
    """Unix time of its launch."""
    where: str
    usd: float
    """So far, by SkyPilot's catalog."""
    usd_per_hour: float
    gone: bool = False
    service: str = ""
    """The service whose replica it is: SkyServe is asked for it."""


def rents(journal: Journal) -> list[Rent]:
    """Every machine this session has rented, oldest first."""
    return [rent for _, rent in by_step(journal)]


def by_step(journal: Journal) -> list[tuple[str, Rent]]:
    """As `rents`, with the step during which each was last seen."""
    latest: dict[tuple[str, float], tuple[str, Rent]] = {}
    for _, step, _, body in journal.events(KIND):
        rent = Rent(**body)
        latest[rent_key(rent)] = step, rent
    return list(latest.values())


def spent(journal: Journal) -> float:
    """US dollars of all machines of the session, as they were last seen."""
    return sum(rent.usd for rent in rents(journal))


def usd_by_step(journal: Journal) -> dict[str, float]:
    """Dollars by step: to each what its machines' sums grew by while it ran, and what they cost until then unobserved."""
    before: dict[tuple[str, float], float] = {}
    found: dict[str, float] = {}
    for _, step, _, body in journal.events(KIND):
        rent = Rent(**body)
        found[step] = found.get(step, 0.0) + rent.usd - before.get(rent_key(rent), 0.0)
        before[rent_key(rent)] = rent.usd
    return found


def usd_per_hour(journal: Journal) -> float:
    """What the machines that were there when they were last looked at cost."""
    return sum(rent.usd_per_hour for rent in rents(journal) if not rent.gone)


def rent_key(rent: Rent) -> tuple[str, float]:
    """Which machine: its name and its launch."""
    return rent.name, rent.since


def still_rented(journal: Journal) -> list[str]:
    """A sentence on each machine and service of the session that is still there; those that are gone are written down as gone.

    Asks the clouds where something was left. Raises ProviderError and UsageError when they cannot be asked.
    """
    if not services_brought_up(journal) and all(rent.gone for rent in rents(journal)):
        return []
    from core.wizard.machine_costs import look_again  # loads what SkyPilot takes

    return look_again(journal)


def services_brought_up(journal: Journal) -> list[JobRecord]:
    """Jobs that are services and have not ended, as far as is known."""
    return [job for job in journal.jobs() if job.target.partition(":")[0] == SKYSERVE and job.state in ("launching", "launched")]
