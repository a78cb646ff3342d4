"""What goes on when a session is left, and what that costs."""

from __future__ import annotations

from dataclasses import dataclass

from core.errors import CalmtuneError
from core.wizard import recipe
from core.wizard.journal import JobRecord
from core.wizard.purposes import CHAT, PROXY, SERVER, SERVICE, TUNNEL
from core.wizard.recipe import STEP_IDS
from core.wizard.rents import rents
from core.wizard.session import Session
from provisioning.place_names import LOCAL


@dataclass(frozen=True)
class GoesOn:
    """What is still there without the app."""

    running: tuple[str, ...] = ()
    """The step at work, where a job does its work, and machines that are paid for: whoever leaves is asked about them."""
    ending: tuple[str, ...] = ()
    """The step at work where the app itself does its work, and so ends it."""
    serving: tuple[str, ...] = ()
    """Model servers, which are meant to go on."""
    usd_per_hour: float = 0.0


def what_goes_on(session: Session, at_work: str | None) -> GoesOn:
    """As last seen; asks no other machine."""
    here = (f"{recipe.step(at_work).title} (step {STEP_IDS.index(at_work) + 1})",) if at_work else ()
    running: list[str] = []
    serving: list[str] = []
    cost = 0.0
    if session.read_only:
        return GoesOn(ending=here)
    try:
        jobs = session.journal.jobs()
        if any(job.step == at_work and _works(job) for job in jobs):
            running, here = [*here], ()
        there = [rent for rent in rents(session.journal) if not rent.gone]
        running += [f"{rent.name}, rented in {rent.where}: ${rent.usd_per_hour:.2f} an hour, ${rent.usd:.2f} so far" for rent in there]
        cost = sum(rent.usd_per_hour for rent in there)
        for job in jobs:
            serves = job.name.endswith(f"-{SERVER}") and job.target == LOCAL and job.state == "launched" and job.step != at_work
            if serves and session.targets[LOCAL].status(job.id or job.name).state == "running":
                serving.append("the model server of " + ("a conversation" if job.step == CHAT else recipe.step(job.step).title))
    except (CalmtuneError, OSError, KeyError):  # leaving must not fail for what cannot be told
        pass
    return GoesOn(tuple(running), here, tuple(serving), cost)


def _works(job: JobRecord) -> bool:
    """Whether a job does a step's work without the app, rather than serve what does it."""
    return job.state in ("launching", "launched") and job.name.rpartition("-")[2] not in (SERVER, PROXY, TUNNEL, SERVICE)
