"""What every place that runs jobs must do: the same tests for each."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import textwrap
import threading
import urllib.request
from pathlib import Path

import psutil
import pytest

from core.errors import ProviderError, StepFailed, UsageError
from provisioning.job import Job, Resources
from provisioning.local import wait
from tests.contracts.places import place_of, server_for

PYTHON = "python3"
"""On the PATH of every place."""
ROOT = Path(__file__).resolve().parents[2]


# SkyPilot leaves processes it has started to the garbage collector.
SKY = [pytest.mark.rig, pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")]


@pytest.fixture(scope="module", params=["local", "ssh", pytest.param("sky", marks=SKY)])
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def server(kind, tmp_path_factory):
    with server_for(kind, tmp_path_factory.mktemp("sshd")) as running:
        yield running


@pytest.fixture
def place(kind, server, tmp_path, monkeypatch):
    monkeypatch.setenv("CALMTUNE_GRACE_SECONDS", "0.5")
    with place_of(kind, tmp_path, server) as made:
        yield made


@pytest.fixture
def target(place):
    return place.target


def job(code: str, name: str = "demo", **options) -> Job:
    return Job(name, (PYTHON, "-c", textwrap.dedent(code)), **options)


EVENTS = """
import json, os
with open(os.environ["CALMTUNE_EVENTS"], "a") as events:
    for step in range(5):
        print(json.dumps({"type": "metric", "step": step}), file=events, flush=True)
print("done")
"""
UNTIL_TOLD = """
import os, time
open("launches", "a").write("x")
open(os.environ["CALMTUNE_EVENTS"], "a").write('{"up": 1}\\n')
while not os.path.exists("go"):
    time.sleep(0.02)
"""


def read(target, id, offset=0):
    return b"".join(chunk.data for chunk in target.follow(id, offset))


def wait_for_events(target, id):
    return next(chunk for chunk in target.follow(id) if chunk.data)


def read_until_done(place, id):
    (place.folder(id) / "go").touch()
    return read(place.target, id)


def test_a_job_runs_and_its_events_are_followed(target):
    id = target.submit(job(EVENTS))
    lines = read(target, id).splitlines()
    assert [json.loads(line)["step"] for line in lines] == [0, 1, 2, 3, 4]
    assert target.status(id).state == "succeeded"
    assert target.status(id).exit_code == 0


def test_following_goes_on_from_an_offset_without_gap_or_duplicate(target):
    id = target.submit(job(EVENTS))
    whole = read(target, id)
    for offset in range(0, len(whole), 29):
        assert whole[:offset] + read(target, id, offset) == whole


def test_the_same_name_is_launched_once(place):
    first = place.target.submit(job(UNTIL_TOLD))
    wait_for_events(place.target, first)
    assert place.target.submit(job(UNTIL_TOLD)) == first
    assert read_until_done(place, first) == b'{"up": 1}\n'
    assert (place.folder(first) / "launches").read_text() == "x"


def test_many_who_launch_at_the_same_time_launch_once(place):
    targets = [place.again() for _ in range(4)]
    threads = [threading.Thread(target=one.submit, args=(job(UNTIL_TOLD),)) for one in targets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert read_until_done(place, "demo") == b'{"up": 1}\n'
    assert (place.folder("demo") / "launches").read_text() == "x"


def test_what_has_succeeded_is_not_run_again(place):
    id = place.target.submit(job("open('launches', 'a').write('x')"))
    assert wait(place.target, id, 20).state == "succeeded"
    place.target.submit(job("open('launches', 'a').write('x')"))
    assert place.target.status(id).state == "succeeded"
    assert (place.folder(id) / "launches").read_text() == "x"


def test_a_failed_job_says_its_last_words_and_may_be_started_again(target):
    id = target.submit(job("import sys; sys.exit('out of luck')"))
    assert wait(target, id, 20).state == "failed"
    assert target.status(id).detail == "out of luck"
    assert target.submit(job("open('second', 'w')")) == id
    assert wait(target, id, 20).state == "succeeded"


def test_a_command_that_does_not_exist_fails_with_a_sentence(target):
    id = target.submit(Job("none", ("/no/such/program",)))
    assert wait(target, id, 20).state == "failed"
    assert "cannot be started" in target.status(id).detail


def test_a_job_that_needs_a_gpu_does_not_begin_without_one(place):
    code = "open('began', 'w')"
    if place.rents:
        with pytest.raises(ProviderError, match="no machine with 16 × A100"):
            place.target.submit(job(code, resources=Resources(gpus=16)))
        return
    id = place.target.submit(job(code, resources=Resources(gpus=16)))
    assert wait(place.target, id, 20).state == "failed"
    assert "needs 16 GPUs" in place.target.status(id).detail
    assert not (place.folder(id) / "began").exists()


def test_the_limit_is_enforced(target):
    id = target.submit(job(UNTIL_TOLD, limit_seconds=0.3))
    assert wait(target, id, 20).state == "timed_out"


def test_cancelling_ends_the_whole_group_and_may_be_repeated(target):
    code = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(600)'])"
    id = target.submit(job(code))
    target.cancel(id)
    target.cancel(id)
    assert target.status(id).state == "stopped"


def test_a_job_outlives_its_submitter_and_is_adopted(place):
    submitter = f"""
import os, signal, sys
sys.path.insert(0, {str(ROOT)!r})
from provisioning.job import Job
{place.source}.submit(Job("demo", ({PYTHON!r}, "-c", {UNTIL_TOLD!r})))
os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", submitter], check=False).returncode == -9
    assert place.target.submit(job(UNTIL_TOLD)) == "demo"
    assert read_until_done(place, "demo") == b'{"up": 1}\n'
    assert place.target.status("demo").state == "succeeded"
    assert (place.folder("demo") / "launches").read_text() == "x"


def kill(place, id, *processes):
    for name in processes:
        os.kill(json.loads((place.folder(id) / f"{name}.json").read_text())["pid"], 9)


def test_a_job_whose_processes_are_gone_is_interrupted(place):
    id = place.target.submit(job(UNTIL_TOLD))
    wait_for_events(place.target, id)
    kill(place, id, "wrapper", "child")
    assert wait(place.target, id, 20).state == "interrupted"


def test_what_a_killed_wrapper_leaves_behind_never_runs_beside_the_next_try(place):
    id = place.target.submit(job(UNTIL_TOLD))
    wait_for_events(place.target, id)
    orphan = json.loads((place.folder(id) / "child.json").read_text())["pid"]
    kill(place, id, "wrapper")
    assert wait(place.target, id, 20).state == "interrupted"
    place.target.submit(job(UNTIL_TOLD))
    assert not psutil.pid_exists(orphan) or psutil.Process(orphan).status() == psutil.STATUS_ZOMBIE
    assert place.target.status(id).state == "running"


def test_files_go_in_and_come_out(target, tmp_path):
    (tmp_path / "given").mkdir()
    (tmp_path / "given" / "a.txt").write_text("hello")
    (tmp_path / "given" / "empty").write_text("")
    code = "import pathlib; pathlib.Path('out').mkdir(); pathlib.Path('out/b.txt').write_text(open('data/a.txt').read() + '!')"
    id = target.submit(job(code, files={"data": tmp_path / "given"}))
    assert wait(target, id, 20).state == "succeeded"
    (tmp_path / "here" / "out").mkdir(parents=True)
    (tmp_path / "here" / "out" / "old.txt").write_text("from an earlier fetch")
    target.fetch(id, ["out", "data/empty"], tmp_path / "here")
    assert (tmp_path / "here" / "out" / "b.txt").read_text() == "hello!"
    assert (tmp_path / "here" / "data" / "empty").read_text() == ""
    assert [path.name for path in (tmp_path / "here" / "out").iterdir()] == ["b.txt"]
    with pytest.raises(StepFailed, match="left no nothing"):
        target.fetch(id, ["nothing"], tmp_path / "here")


def test_a_port_of_the_job_is_reached_through_loopback(target):
    port = target.free_port()
    server = f"import http.server as h; h.HTTPServer(('127.0.0.1', {port}), h.SimpleHTTPRequestHandler).serve_forever()"
    id = target.submit(job(server, ports=(port,)))
    with target.expose(id, port) as address:
        assert address.startswith("http://127.0.0.1:")
        assert "job.json" in get_when_up(f"{address}/")
    target.cancel(id)


def get_when_up(address: str) -> str:
    for _ in range(200):
        with contextlib.suppress(OSError), urllib.request.urlopen(address, timeout=5) as answer:
            return answer.read().decode()
        threading.Event().wait(0.05)
    raise AssertionError(f"{address} never answered")


def test_secrets_reach_the_job_and_no_disk_no_log_no_command_line(place, tmp_path):
    canary = "canary-3f9a77"
    code = f"import os; assert os.environ['TOKEN'].startswith('canary')\n{UNTIL_TOLD}"
    secret_job = job(code, secrets={"TOKEN": canary})
    id = place.target.submit(secret_job)
    wait_for_events(place.target, id)
    processes = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert canary not in processes
    read_until_done(place, id)
    assert wait(place.target, id, 20).state == "succeeded"
    looked_in = [tmp_path, place.jobs, *place.logs]
    looked_at = [path for where in looked_in for path in [where, *where.rglob("*")] if path.is_file()]
    assert place.folder(id) / "job.json" in looked_at
    for path in looked_at:
        assert canary.encode() not in path.read_bytes(), path
    assert canary not in repr(secret_job)


def test_unknown_jobs_are_refused(target):
    with pytest.raises(UsageError, match="no job nothing"):
        target.status("nothing")
    with pytest.raises(UsageError, match="no job nothing"):
        target.cancel("nothing")


def test_offers_say_why(target):
    for offer in target.offers(Resources(gpus=16)):
        assert not offer.fits
        assert "16 needed" in offer.reason
    (offer,) = target.offers(Resources(memory_gb=0.1, disk_gb=0.1))
    assert offer.fits, offer.reason
