"""A session's rented machines watched: what they cost while a step runs, ended at the budget; which are still there."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict, replace

from core.errors import BudgetReached, DeadlineError, ProviderError, UsageError
from core.wizard.events import MachineCost, Notice, StepEvent
from core.wizard.journal import Journal
from core.wizard.rents import KIND, Rent, by_step, rent_key, rents, services_brought_up
from provisioning import serve_sdk, sky_sdk
from provisioning.autostop import overdue
from provisioning.places import Places, scope_of
from provisioning.serve_sdk import CONTROLLER
from provisioning.sky_sdk import Machine
from provisioning.sky_serve import services_of

_SECONDS_BETWEEN_LOOKS = 30.0
_WORTH_A_LINE = 0.01
"""Dollars from which a sum is written down again."""
_AS_GOOD_AS = 0.95
"""Share of the budget at which a job that its machine stopped was stopped for the budget: prices and clocks are not that exact."""
_REACHED = "the budget for machines"
"""Message of the cancellation that ends a step at the budget."""


def look_again(journal: Journal) -> list[str]:
    """A sentence on each machine and service that was there when it was last looked at and still is; those that are gone are written down
    as gone. Asks the clouds. Raises ProviderError and UsageError when they cannot be asked."""
    left = {rent.name: (step, rent) for step, rent in by_step(journal) if not rent.gone and not rent.service}
    told = _still_serving(journal)
    there = {machine.name: machine for machine in sky_sdk.machines(list(left), ask_cloud=True)} if left else {}
    for name, (step, rent) in left.items():
        machine = there.get(name)
        if machine is None or machine.state == "stopped":
            journal.add_event(step, KIND, asdict(_gone(rent)))
            continue
        costs = f"is rented at ${machine.usd_per_hour:.2f} an hour, ${machine.accrued:.2f} so far"
        if name.startswith(CONTROLLER):
            told.append(f"{name} {costs}; SkyServe's services share it, it stops itself without one, and `sky down {name}` ends it")
            continue
        late = overdue(machine)
        told.append(f"{name} {costs}{f'; it {late}' if late else ''}; {_ends(journal)}")
    return told


def _still_serving(journal: Journal) -> list[str]:
    """The same of services: their replicas come and go, so that what is there now is written down."""
    jobs = services_brought_up(journal)
    left = {rent.name: (step, rent) for step, rent in by_step(journal) if not rent.gone and rent.service}
    if not jobs and not left:
        return []
    services = services_of(scope_of(journal.path.parent / "jobs"))
    machines = {machine.name: machine for service in services for machine in service.machines}
    for name, (step, rent) in left.items():
        if name not in machines or machines[name].since != rent.since:
            journal.add_event(step, KIND, asdict(_gone(rent)))
    for job in jobs:
        for machine in machines.values():
            if machine.since:
                journal.add_event(job.step, KIND, asdict(_rent(machine)))
    if not services and jobs:
        if serve_sdk.one_comes_up():
            return [f"a service is coming up; {_ends(journal)}"]
        for job in jobs:
            journal.job_ended(job.name, "stopped")
    return [
        f"{service.name} serves with {service.sentence} at ${service.usd_per_hour:.2f} an hour, ${service.accrued:.2f} so far; "
        f"{_ends(journal)}"
        for service in services
    ]


def _ends(journal: Journal) -> str:
    return f"`calmtune stop {journal.path.parent.name}` ends it"


def _rent(machine: Machine) -> Rent:
    return Rent(machine.name, machine.since, machine.where, machine.accrued, machine.usd_per_hour, service=machine.service)


class MachineWatch:
    """Looks at the machines that were rented in this process."""

    def __init__(self, journal: Journal, targets: Places, step: str, budget: float | None) -> None:
        self._journal, self._targets, self._step, self._budget = journal, targets, step, budget
        self._written: dict[tuple[str, float], Rent] = {rent_key(rent): rent for rent in rents(journal)}

    @property
    def spent(self) -> float:
        """US dollars of all machines of the session."""
        return sum(rent.usd for rent in self._written.values())

    def look(self) -> list[Rent]:
        """Ask what is rented now and write it down. Raises ProviderError and UsageError when that cannot be asked."""
        there = []
        targets = self._targets.rented
        for target in targets:
            there += [_rent(machine) for machine in target.machines() if machine.state == "up"]
        for rent in there:
            before = self._written.get(rent_key(rent))
            if before is None or rent.usd - before.usd >= _WORTH_A_LINE:
                self._write(rent)
        seen = {rent_key(rent) for rent in there}
        for key, rent in list(self._written.items()):
            if any(target.owns(rent.name) for target in targets) and key not in seen and not rent.gone:
                self._write(_gone(rent))
        return there

    def _write(self, rent: Rent) -> None:
        self._written[rent_key(rent)] = rent
        self._journal.add_event(self._step, KIND, asdict(rent))

    @property
    def over(self) -> bool:
        return self._budget is not None and self.spent >= self._budget

    @asynccontextmanager
    async def watching(self, emit: Callable[[StepEvent], None], pause: float = _SECONDS_BETWEEN_LOOKS) -> AsyncIterator[None]:
        """Watch for as long as the block lasts. At the budget the block is cancelled, the machines are ended, and it raises
        BudgetReached; ProviderError when one of them could not be ended."""
        if self.over:
            raise BudgetReached(self._sentence())
        task = asyncio.current_task()
        assert task is not None
        watcher = asyncio.create_task(self._watch(task, emit, pause))
        try:
            yield
        except asyncio.CancelledError as error:
            if error.args != (_REACHED,):
                raise
            task.uncancel()
            await asyncio.to_thread(self._end_machines)
            raise BudgetReached(self._sentence()) from None
        except DeadlineError as error:
            await asyncio.to_thread(self.look)
            if self._budget is None or self.spent < _AS_GOOD_AS * self._budget:
                raise
            await asyncio.to_thread(self._end_machines)
            raise BudgetReached(self._sentence()) from error  # the machine itself kept what the budget left as the job's limit
        finally:
            watcher.cancel()
            with contextlib.suppress(ProviderError, UsageError):
                if self._targets.rented:
                    await asyncio.to_thread(self.look)

    async def _watch(self, task: asyncio.Task[object], emit: Callable[[StepEvent], None], pause: float) -> None:
        warned = False
        while True:
            await asyncio.sleep(pause)
            if not self._targets.rented:
                continue
            try:
                there = await asyncio.to_thread(self.look)
            except (ProviderError, UsageError) as error:
                if not warned:
                    emit(Notice("warning", f"what the machines cost cannot be told now: {error}"))
                warned = True
                continue
            if there:
                emit(MachineCost(self.spent, sum(rent.usd_per_hour for rent in there), self._budget))
            if self.over:
                task.cancel(_REACHED)
                return

    def _end_machines(self) -> None:
        for target in self._targets.rented:
            target.release(although_busy=True)

    def _sentence(self) -> str:
        return (
            f"rented machines have cost ${self.spent:.2f} of ${self._budget:.2f}; the job was stopped, its machine ended, what was done is "
            "kept: raise session.cloud_budget_usd to go on"
        )


def _gone(rent: Rent) -> Rent:
    """A machine that is gone, with what it has cost until it went, also when nobody was looking."""
    usd = rent.usd
    with contextlib.suppress(ProviderError, UsageError):
        costs = sky_sdk.costs(rent.name)
        # The bill begins when the machine is ready, some time after it was asked for.
        if later := [launched for launched in costs if launched >= rent.since - 1]:
            usd = max(usd, costs[min(later)])
    return replace(rent, gone=True, usd=usd)
