"""What every place that runs jobs must do. Targets are added to `target`; today that is this machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from core.errors import UsageError
from provisioning.job import Job, Resources
from provisioning.local import LocalTarget, wait

PYTHON = sys.executable


@pytest.fixture
def target(tmp_path, monkeypatch):
    monkeypatch.setenv("CALMTUNE_GRACE_SECONDS", "0.5")
    place = LocalTarget(tmp_path / "jobs")
    yield place
    for status in place.list():
        place.down(status.id)


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
open(os.environ["CALMTUNE_EVENTS"], "a").write('{"up": 1}\\n')
while not os.path.exists("go"):
    time.sleep(0.02)
"""


def read(target, id, offset=0):
    return b"".join(chunk.data for chunk in target.follow(id, offset))


def wait_for_events(target, id):
    next(chunk for chunk in target.follow(id) if chunk.data)


def test_a_job_runs_and_its_events_are_followed(target):
    id = target.submit(job(EVENTS))
    lines = read(target, id).splitlines()
    assert [json.loads(line)["step"] for line in lines] == [0, 1, 2, 3, 4]
    assert target.status(id).state == "succeeded"
    assert target.status(id).exit_code == 0


def test_following_goes_on_from_an_offset_without_gap_or_duplicate(target):
    id = target.submit(job(EVENTS))
    whole = read(target, id)
    for offset in range(0, len(whole), 7):
        assert whole[:offset] + read(target, id, offset) == whole


def test_the_same_name_is_launched_once(target):
    first = target.submit(job(UNTIL_TOLD))
    wait_for_events(target, first)
    assert target.submit(job(UNTIL_TOLD)) == first
    assert read_until_done(target, first) == b'{"up": 1}\n'


def read_until_done(target, id):
    (target.folder(id) / "go").touch()
    return read(target, id)


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


def test_the_limit_is_enforced(target):
    id = target.submit(job(UNTIL_TOLD, limit_seconds=0.3))
    assert wait(target, id, 20).state == "timed_out"


def test_cancelling_ends_the_whole_group_and_may_be_repeated(target):
    code = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(600)'])"
    id = target.submit(job(code))
    target.cancel(id)
    target.cancel(id)
    assert target.status(id).state == "stopped"


def test_a_job_outlives_its_submitter_and_is_adopted(target, tmp_path):
    submitter = f"""
import os, signal, sys
from pathlib import Path
from provisioning.job import Job
from provisioning.local import LocalTarget
LocalTarget(Path({str(target.root)!r})).submit(Job("demo", (sys.executable, "-c", {UNTIL_TOLD!r})))
os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([PYTHON, "-c", submitter], check=False).returncode == -9
    assert target.submit(job(UNTIL_TOLD)) == "demo"
    assert read_until_done(target, "demo") == b'{"up": 1}\n'
    assert target.status("demo").state == "succeeded"


def test_a_job_whose_processes_are_gone_is_interrupted(target):
    id = target.submit(job(UNTIL_TOLD))
    wait_for_events(target, id)
    folder = target.folder(id)
    os.kill(json.loads((folder / "wrapper.json").read_text())["pid"], 9)
    os.kill(json.loads((folder / "child.json").read_text())["pid"], 9)
    assert wait(target, id, 20).state == "interrupted"


def test_files_go_in_and_come_out(target, tmp_path):
    (tmp_path / "given").mkdir()
    (tmp_path / "given" / "a.txt").write_text("hello")
    code = "import pathlib; pathlib.Path('out').mkdir(); pathlib.Path('out/b.txt').write_text(open('data/a.txt').read() + '!')"
    id = target.submit(job(code, files={"data": tmp_path / "given"}))
    assert wait(target, id, 20).state == "succeeded"
    target.fetch(id, ["out"], tmp_path / "here")
    assert (tmp_path / "here" / "out" / "b.txt").read_text() == "hello!"


def test_secrets_reach_the_job_and_no_disk(target):
    canary = "canary-3f9a77"
    code = "import os; assert os.environ['TOKEN'].startswith('canary')"
    id = target.submit(job(code, secrets={"TOKEN": canary}))
    assert wait(target, id, 20).state == "succeeded"
    for path in target.root.rglob("*"):
        assert not path.is_file() or canary.encode() not in path.read_bytes(), path
    assert canary not in repr(job(code, secrets={"TOKEN": canary}))


def test_unknown_jobs_are_refused(target):
    with pytest.raises(UsageError, match="no job nothing"):
        target.status("nothing")


def test_offers_say_why(target):
    (offer,) = target.offers(Resources(gpus=1))
    assert offer.fits or "no GPU" in offer.reason
    (offer,) = target.offers(Resources(memory_gb=0.1, disk_gb=0.1))
    assert offer.fits
    assert offer.usd_per_hour == 0
    assert Path(target.root)
