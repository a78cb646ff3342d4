"""A job that is asked to end early ends well, with what it has; asked to stop, it can go on later."""

from __future__ import annotations

import asyncio
import sys

import pytest

from core.errors import StepFailed
from core.wizard.jobs import KEEP, JobKeeper
from core.wizard.journal import Journal
from provisioning.job import Job
from provisioning.local import LocalTarget

WORK = """
import json, os, signal, sys, time
def tell(line):
    with open(os.environ["CALMTUNE_EVENTS"], "a") as file:
        file.write(json.dumps({"type": "log", "line": line}) + "\\n")
signal.signal(signal.SIGTERM, lambda *_: (tell("stopped"), sys.exit(75)))
tell("finishes" if os.environ.get("FINISH") else "works")
while not os.environ.get("FINISH"):
    time.sleep(0.02)
"""


@pytest.fixture
def keeper(tmp_path):
    journal = Journal(tmp_path / "session.db")
    return JobKeeper(journal, {"local": LocalTarget(tmp_path / "jobs")}, "one", "training", "abcdef0123456789")


async def told_until(told, line) -> None:
    for _ in range(1500):
        if line in told:
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"{line} was not told")


async def test_asked_to_keep_it_is_started_again_to_end_and_nothing_is_told_twice(keeper):
    told: list[str] = []
    job = Job("train", (sys.executable, "-c", WORK))
    running = asyncio.create_task(keeper.run(job, lambda event: told.append(event["line"]), ending={"FINISH": "1"}))
    await told_until(told, "works")
    running.cancel(KEEP)
    launched = await running
    assert told == ["works", "stopped", "finishes"]
    assert launched.target.status(launched.id).state == "succeeded"


async def test_a_job_that_cannot_end_early_is_stopped_and_goes_on_when_it_is_run_again(keeper):
    told: list[str] = []
    job = Job("train", (sys.executable, "-c", WORK))
    running = asyncio.create_task(keeper.run(job, lambda event: told.append(event["line"])))
    await told_until(told, "works")
    running.cancel(KEEP)
    with pytest.raises(asyncio.CancelledError):
        await running
    again = Job("train", job.command, environment={"FINISH": "1"})
    told.clear()
    await keeper.run(again, lambda event: told.append(event["line"]))
    assert told == ["works", "stopped", "finishes"]


async def test_a_job_that_fails_while_it_ends_has_failed(keeper):
    told: list[str] = []
    job = Job("train", (sys.executable, "-c", WORK + "sys.exit(3)"))
    running = asyncio.create_task(keeper.run(job, lambda event: told.append(event["line"]), ending={"FINISH": "1"}))
    await told_until(told, "works")
    running.cancel(KEEP)
    with pytest.raises(StepFailed):
        await running
