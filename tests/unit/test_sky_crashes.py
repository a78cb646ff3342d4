"""Killed before, during or after any call to the cloud: who comes after finds the machine, the job runs once, nothing stays rented."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import traceback
from dataclasses import replace

import pytest

from core.errors import BudgetReached, ProviderError
from core.wizard.jobs import JobKeeper
from core.wizard.journal import Journal
from provisioning.job import Job
from provisioning.places import ROOT_VARIABLE, Places
from provisioning.sky import SkyTarget
from provisioning.terms import Terms
from tests.rigs.small_cloud import CALLS, SmallCloud
from tests.rigs.sshd import running_sshd

RECORD = "open('launches', 'a').write('x'); open('result', 'w').write('learnt')"
JOB = Job("work", (sys.executable, "-c", RECORD))
PLACE = "sky:small"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with running_sshd(tmp_path_factory.mktemp("sshd")) as running:
        running.trust()
        yield running


@pytest.fixture
def cloud(tmp_path, server, monkeypatch):
    monkeypatch.setenv(ROOT_VARIABLE, str(tmp_path / "there"))
    made = SmallCloud(tmp_path, server)
    for name in CALLS:
        monkeypatch.setattr(f"provisioning.sky_sdk.{name}", getattr(made, name))
    return made


def opened(tmp_path):
    journal = Journal(tmp_path / "session.db")
    places = Places(tmp_path / "jobs", lambda: (job.target for job in journal.jobs()), Terms)
    return places, JobKeeper(journal, places, "one", "training", "abcdef0123456789")


def work(tmp_path) -> None:
    """What a step does, and what a headless run does after it."""
    places, keeper = opened(tmp_path)
    done = tmp_path / "result"
    if not done.exists():
        launched = asyncio.run(keeper.run(JOB, lambda event: None, PLACE))
        asyncio.run(keeper.fetch(launched, ["result"], tmp_path))
    places[PLACE].release()
    places.close()


def in_a_process(cloud, tmp_path, at: int | None) -> int:
    """Work in a process of its own, killed at a boundary; how it ended."""
    child = os.fork()
    if child == 0:
        try:
            cloud.at = at
            work(tmp_path)
            (tmp_path / "passed").write_text("\n".join(cloud.passed))
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def left_of(tmp_path):
    (folder,) = (tmp_path / "there" / "jobs").iterdir()
    return (folder / "launches").read_text()


BOUNDARIES = 15
"""At least so many are passed by a run that nobody kills."""


def test_a_run_that_nobody_kills(cloud, tmp_path):
    assert in_a_process(cloud, tmp_path, None) == 0
    passed = (tmp_path / "passed").read_text().splitlines()
    for call in ("before rent", "during rent", "after rent", "before queue", "after queue", "before end", "during end", "after end"):
        assert passed.count(call) == 1
    assert left_of(tmp_path) == "x"
    assert len(passed) >= BOUNDARIES
    assert cloud.books == {"machines": {}, "launches": 1, "jobs": {}}


@pytest.mark.parametrize("boundary", range(1, BOUNDARIES + 1))
def test_killed_at_a_boundary_and_run_again(cloud, tmp_path, boundary):
    assert in_a_process(cloud, tmp_path, boundary) == -signal.SIGKILL
    killed = cloud.books
    assert in_a_process(cloud, tmp_path, None) == 0
    assert left_of(tmp_path) == "x"
    assert (tmp_path / "result").read_text() == "learnt"
    assert cloud.books == {"machines": {}, "launches": 1, "jobs": {}}, killed


def test_a_launch_that_is_cancelled_leaves_nothing_rented(cloud, tmp_path):
    places, keeper = opened(tmp_path)
    cloud.hold_renting = lambda: True

    async def cancelled() -> None:
        running = asyncio.create_task(keeper.run(JOB, lambda event: None, PLACE))
        await asyncio.wait_for(asyncio.to_thread(cloud.renting.wait), 30)
        running.cancel()
        with pytest.raises((asyncio.CancelledError, ProviderError)):
            await running

    asyncio.run(cancelled())
    places.close()
    assert "before give up" in cloud.passed
    assert cloud.books["machines"] == {}
    assert not list((tmp_path / "there").glob("jobs/*/launches"))


def test_a_machine_that_is_taken_back_is_lost_with_its_job(cloud, tmp_path):
    target = SkyTarget("small", "scope", root=str(tmp_path / "there"), patience=3)
    code = "import os, time\nopen(os.environ['CALMTUNE_EVENTS'], 'a').write('{}\\n')\ntime.sleep(60)"
    id = target.submit(replace(JOB, name="long", command=(sys.executable, "-c", code)))
    following = target.follow(id)
    assert next(chunk.data for chunk in following if chunk.data) == b"{}\n"
    cloud.take_back(target.machine)
    assert list(following) == []
    status = target.status(id)
    assert (status.state, status.lost) == ("interrupted", True)
    target.close()


def test_what_the_budget_leaves_is_the_limit_on_the_machine_itself(cloud, tmp_path):
    left = 0.5  # half an hour at the small cloud's dollar an hour
    said: list[str] = []
    target = SkyTarget("small", "scope", left_usd=lambda: left, root=str(tmp_path / "there"))
    id = target.submit(replace(JOB, name="limited", limit_seconds=7200.0), said.append)
    list(target.follow(id))
    (told,) = (tmp_path / "there" / "jobs").glob("*/job.json")
    assert json.loads(told.read_text())["limit_seconds"] == pytest.approx(1800)
    assert "the budget is enough for 30 minutes" in "".join(said)
    target.release()
    left = 0.001
    with pytest.raises(BudgetReached, match="less than a minute"):
        target.submit(replace(JOB, name="another"), said.append)
    target.close()
    assert cloud.books["machines"] == {}
