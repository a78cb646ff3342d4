"""A rented machine of several nodes: a job on them is one on each, handed over with its secrets, and ends as one."""

from __future__ import annotations

import sys
import time

import psutil
import pytest

from core.errors import StepFailed
from provisioning import sky_nodes
from provisioning.job import Job, Resources
from provisioning.local import wait
from provisioning.places import ROOT_VARIABLE
from provisioning.sky import SkyTarget
from tests.rigs.small_cloud import CALLS, SmallCloud
from tests.rigs.sshd import running_sshd

TWO = Resources(nodes=2)
RANK = "import os, sys, time, pathlib\nrank = os.environ['SKYPILOT_NODE_RANK']\n"
ENDLESS = RANK + "open('pid', 'w').write(str(os.getpid()))\ntime.sleep(600)"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with running_sshd(tmp_path_factory.mktemp("sshd")) as running:
        running.trust()
        yield running


@pytest.fixture
def cloud(tmp_path, server, monkeypatch):
    monkeypatch.setenv(ROOT_VARIABLE, str(tmp_path / "there"))
    monkeypatch.setenv("CALMTUNE_GRACE_SECONDS", "0.5")
    made = SmallCloud(tmp_path, server)
    for name in CALLS:
        monkeypatch.setattr(f"provisioning.sky_sdk.{name}", getattr(made, name))
    return made


@pytest.fixture
def target(tmp_path, cloud):
    made = SkyTarget("small", "scope", root=str(tmp_path / "there"), patience=3)
    yield made
    made.release(although_busy=True)
    made.close()


def job(code: str, name: str = "work", **more) -> Job:
    return Job(name, (sys.executable, "-c", code), **{"resources": TWO, **more})


def folders(tmp_path, name: str = "work"):
    jobs = tmp_path / "there" / "jobs"
    return jobs / name, jobs / "node1" / name


def words(path) -> str:
    deadline = time.monotonic() + 30
    while not path.is_file() or not path.read_text():
        assert time.monotonic() < deadline, path
        time.sleep(0.02)
    return path.read_text()


def test_each_node_runs_its_part_with_files_and_secrets_of_its_own(tmp_path, target):
    sent = tmp_path / "sent"
    sent.write_text("rows")
    code = RANK + "open('result', 'w').write(rank + open('rows').read() + os.environ['TOKEN'][::-1])"
    id = target.submit(job(code, files={"rows": sent}, secrets={"TOKEN": "canary-42"}))
    list(target.follow(id))
    assert target.status(id).state == "succeeded"
    assert [(folder / "result").read_text() for folder in folders(tmp_path)] == ["0rows24-yranac", "1rows24-yranac"]
    assert [status.id for status in target.list()] == ["work"]
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or b"canary-42" not in path.read_bytes(), path


def test_it_is_done_when_all_nodes_are(tmp_path, target):
    code = RANK + "while rank == '1' and not pathlib.Path('go').exists(): time.sleep(0.02)\nopen('result', 'w').write(rank)"
    id = target.submit(job(code))
    words(folders(tmp_path)[0] / "result")
    following = target.follow(id)
    next(following)
    assert target.status(id).state == "running"
    (folders(tmp_path)[1] / "go").touch()
    list(following)
    assert target.status(id).state == "succeeded"


def test_a_node_that_fails_is_named_and_tries_again_alone(tmp_path, target):
    code = RANK + "open('runs', 'a').write('x')\nif rank == '1' and os.stat('runs').st_size == 1: sys.exit('no disk')"
    id = target.submit(job(code))
    list(target.follow(id))
    status = target.status(id)
    assert (status.state, status.detail) == ("failed", "node 1: no disk")
    target.submit(job(code))
    list(target.follow(id))
    assert target.status(id).state == "succeeded"
    assert [(folder / "runs").read_text() for folder in folders(tmp_path)] == ["x", "xx"]


def test_cancelling_ends_it_everywhere(tmp_path, target):
    id = target.submit(job(ENDLESS))
    pids = [words(folder / "pid") for folder in folders(tmp_path)]
    target.cancel(id)
    assert target.status(id).state == "stopped"
    assert not any(psutil.pid_exists(int(pid)) for pid in pids)


def test_what_needs_one_node_runs_on_the_first_of_several(tmp_path, target):
    target.prepare(TWO)
    id = target.submit(job(RANK + "open('result', 'w').write(rank)", "small", resources=Resources()))
    assert wait(target, id, 30).state == "succeeded"
    head, other = folders(tmp_path, "small")
    assert (head / "result").read_text() == "0"
    assert not other.exists()


def test_a_client_that_died_on_the_way_round_is_followed_by_one_that_goes_on(tmp_path, target, monkeypatch):
    class Killed(BaseException):
        pass

    give, given = sky_nodes._give, []

    def dying(*arguments):
        if given:
            raise Killed
        given.append(give(*arguments))

    monkeypatch.setattr(sky_nodes, "_give", dying)
    with pytest.raises(Killed):
        target.submit(job(ENDLESS))
    monkeypatch.setattr(sky_nodes, "_give", give)
    first = words(folders(tmp_path)[0] / "pid")
    target.submit(job(ENDLESS))
    words(folders(tmp_path)[1] / "pid")
    assert words(folders(tmp_path)[0] / "pid") == first, "it was launched once"


def test_a_machine_of_fewer_nodes_is_replaced_unless_it_is_at_work(tmp_path, cloud, target):
    id = target.submit(job(ENDLESS, "small", resources=Resources()))
    with pytest.raises(StepFailed, match="is still at work on small"):
        target.prepare(TWO)
    target.cancel(id)
    said: list[str] = []
    target.prepare(TWO, said.append)
    assert any("this job needs 2 nodes with 0 GPUs each" in line for line in said)
    assert cloud.books["launches"] == 2
    assert target.rented().nodes == 2


def test_where_the_slot_that_was_found_had_been_about_to_end_another_is_queued(tmp_path, cloud, target, monkeypatch):
    calls = []

    def queue(*arguments):
        calls.append(arguments)
        if len(calls) > 1:
            cloud.queue(*arguments)

    monkeypatch.setattr("provisioning.sky_sdk.queue", queue)
    monkeypatch.setattr(sky_nodes, "_HOLDER_SECONDS", 0.5)
    id = target.submit(job(RANK + "open('result', 'w').write(rank)", "small", resources=Resources()))
    assert wait(target, id, 30).state == "succeeded"
    assert len(calls) == 2


def test_a_job_that_the_queue_never_begins_is_given_up(tmp_path, target, monkeypatch):
    monkeypatch.setattr("provisioning.sky_sdk.queue", lambda *arguments: None)
    monkeypatch.setattr(sky_nodes, "_HOLDER_SECONDS", 0.2)
    monkeypatch.setattr(sky_nodes, "_QUEUE_SECONDS", 0.5)
    with pytest.raises(StepFailed, match="has not begun the job; nothing was run"):
        target.submit(job(ENDLESS, "small", resources=Resources()))
