"""Rented machines are metered from the outside, remembered, and ended at the budget."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from core.errors import BudgetReached, DeadlineError, ProviderError
from core.wizard.events import MachineCost, Notice
from core.wizard.journal import Journal
from core.wizard.machine_costs import MachineWatch
from core.wizard.rents import rents, still_rented, usd_by_step, usd_per_hour
from provisioning import sky_sdk
from provisioning.sky_sdk import Machine


class Rented:
    """A place whose machine costs a dollar a look."""

    machine = "calmtune-x"

    def __init__(self) -> None:
        self.found: Machine | None = None
        self.looks = 0
        self.problem: Exception | None = None
        self.released = 0

    def machines(self) -> list[Machine]:
        if self.problem is not None:
            raise self.problem
        self.looks += 1
        return [self.found] if self.found is not None else []

    def owns(self, machine: str) -> bool:
        return machine == self.machine

    def release(self, although_busy: bool = False) -> bool:
        assert although_busy
        self.released += 1
        self.found = None
        return True


class Targets:
    def __init__(self, *rented: Rented) -> None:
        self.rented = list(rented)


class At(Machine):
    """A machine that has cost a given sum."""

    @property
    def accrued(self) -> float:
        return self.since * self.usd_per_hour / 3600


def machine(usd: float, since: float = 3600.0) -> Machine:
    return At("calmtune-x", "up", "aws (us-east-1a)", "p4d", "A100", 8, usd * 3600 / since, since, False, 60)


@pytest.fixture
def journal(tmp_path):
    made = Journal(tmp_path / "session.db")
    yield made
    made.close()


def test_each_machine_is_remembered_with_what_it_cost(journal):
    place = Rented()
    watch = MachineWatch(journal, Targets(place), "training", None)
    place.found = machine(1.5)
    watch.look()
    place.found = machine(2.0)
    watch.look()
    place.found = machine(0.25, since=7200.0)  # another one under the same name
    watch.look()
    assert [(rent.usd, rent.gone) for rent in rents(journal)] == [(2.0, True), (0.25, False)]
    assert watch.spent == 2.25
    assert MachineWatch(journal, Targets(), "evaluation", None).spent == 2.25, "and by the next step"
    place.found = None
    watch.look()
    assert usd_per_hour(journal) == 0


async def test_a_step_hears_what_machines_cost_while_it_runs(journal):
    place, told = Rented(), asyncio.Queue()
    place.found = machine(1.5)
    async with MachineWatch(journal, Targets(place), "training", 10.0).watching(told.put_nowait, 0.01):
        assert await told.get() == MachineCost(1.5, 1.5, 10.0)


async def test_at_the_budget_the_step_is_cancelled_and_the_machine_ended(journal):
    place = Rented()
    place.found = machine(10.5)
    stopped = []

    async def step() -> None:
        async with MachineWatch(journal, Targets(place), "training", 10.0).watching(lambda event: None, 0.01):
            try:
                await asyncio.sleep(30)
            except asyncio.CancelledError as error:
                stopped.append(error.args)
                raise

    with pytest.raises(BudgetReached, match=r"\$10.50 of \$10.00; .* raise session.cloud_budget_usd"):
        await step()
    assert stopped == [("the budget for machines",)]
    assert place.released == 1
    assert asyncio.current_task().cancelling() == 0, "whoever called goes on"
    stopped.clear()
    with pytest.raises(BudgetReached):
        await step()
    assert not stopped, "no step begins beyond the budget"


async def test_a_job_that_its_machine_stopped_for_the_budget_is_told_as_such(journal):
    place = Rented()
    place.found = machine(9.9)

    async def step(budget: float) -> None:
        async with MachineWatch(journal, Targets(place), "training", budget).watching(lambda event: None, 30):
            raise DeadlineError("the job was stopped after its limit of 3 minutes")

    with pytest.raises(BudgetReached, match=r"\$9.90 of \$10.00"):
        await step(10.0)
    assert place.released == 1
    with pytest.raises(DeadlineError):
        await step(20.0)


async def test_a_machine_that_cannot_be_ended_is_told(journal):
    place = Rented()
    place.found = machine(10.5)

    def stays(although_busy: bool) -> bool:
        raise ProviderError("calmtune-x is still there after it was ended")

    async def step() -> None:
        async with MachineWatch(journal, Targets(place), "training", 10.0).watching(lambda event: None, 0.01):
            await asyncio.sleep(30)

    place.release = stays
    with pytest.raises(ProviderError, match="still there"):
        await step()


async def test_other_cancellations_are_left_alone(journal):
    place = Rented()
    place.found = machine(0.5)

    async def step() -> None:
        async with MachineWatch(journal, Targets(place), "training", 10.0).watching(lambda event: None, 0.01):
            await asyncio.sleep(30)

    task = asyncio.create_task(step())
    await asyncio.sleep(0.05)
    task.cancel("leave")
    with pytest.raises(asyncio.CancelledError) as cancelled:
        await task
    assert cancelled.value.args == ("leave",)
    assert place.released == 0


async def test_what_cannot_be_asked_is_said_once_and_asked_again(journal):
    place, told = Rented(), asyncio.Queue()
    place.found, place.problem = machine(1.5), ProviderError("the API server is away")
    async with MachineWatch(journal, Targets(place), "training", 10.0).watching(told.put_nowait, 0.01):
        assert isinstance(await told.get(), Notice)
        await asyncio.sleep(0.05)
        assert told.empty()
        place.problem = None
        assert isinstance(await told.get(), MachineCost)


def test_machines_accrue_by_the_hour():
    from time import time

    assert replace(machine(1.0), since=time() - 1800, usd_per_hour=4.0).accrued == pytest.approx(
        (time() - 1800) * 4.0 / 3600
    )
    assert Machine("x", "up", "", "", "", 0, 4.0, time() - 1800, False, None).accrued == pytest.approx(2.0, abs=0.01)


@pytest.fixture
def skypilot(monkeypatch):
    """What SkyPilot knows: machines that are there, and what machines have cost."""
    known: dict[str, object] = {"there": [], "costs": {}}
    monkeypatch.setattr(sky_sdk, "machines", lambda names, ask_cloud: [one for one in known["there"] if one.name in names])
    monkeypatch.setattr(sky_sdk, "costs", lambda name: known["costs"])
    monkeypatch.setattr(sky_sdk, "idle_since", lambda machine: None)
    return known


def test_what_a_machine_cost_while_nobody_looked_is_added_when_it_is_gone(journal, skypilot):
    place = Rented()
    watch = MachineWatch(journal, Targets(place), "training", None)
    place.found = machine(1.5)
    watch.look()
    place.found = None
    skypilot["costs"] = {3610.0: 2.75, 99999.0: 40.0}
    watch.look()
    assert [(rent.usd, rent.gone) for rent in rents(journal)] == [(2.75, True)]


def test_a_step_pays_for_what_its_machines_cost_while_it_ran(journal, skypilot):
    place = Rented()
    for step, usd in (("training", 1.5), ("evaluation", 1.75), ("training", 2.0)):
        place.found = machine(usd)
        MachineWatch(journal, Targets(place), step, None).look()
    assert usd_by_step(journal) == {"training": 1.75, "evaluation": 0.25}


def test_machines_left_from_before_are_told_and_those_that_are_gone_forgotten(journal, skypilot):
    assert still_rented(journal) == []
    place = Rented()
    place.found = machine(1.5)
    MachineWatch(journal, Targets(place), "training", None).look()
    skypilot["there"] = [machine(2.5)]
    (told,) = still_rented(journal)
    assert told == f"calmtune-x is rented at $2.50 an hour, $2.50 so far; `calmtune stop {journal.path.parent.name}` ends it"
    skypilot["there"] = []
    assert still_rented(journal) == []
    assert usd_per_hour(journal) == 0
