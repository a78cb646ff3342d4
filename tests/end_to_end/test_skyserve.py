"""A model served through unmodified SkyServe on AWS, which is moto here; on the replica a program with vLLM's protocol stands in for vLLM.

SkyServe's controller runs beside the API server (`consolidation_mode`). Machines of the rig share ports, so there is one replica.
"""

from __future__ import annotations

import json
import os
import shutil
import time

import httpx
import pytest

from core.serving.proxy.keys import VARIABLE
from core.wizard.session import Session
from core.wizard.step import Outputs
from tests.rigs import finished, vllm_stand_in
from tests.rigs.ec2 import PYTHON, running_ec2
from tests.rigs.recipe import ASSISTANT, ROOT, calmtune
from tests.rigs.running import Running
from tests.rigs.served_models import made

# SkyPilot leaves processes it has started to the garbage collector.
pytestmark = [pytest.mark.rig, pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")]
KEY = "key-of-the-canary-2f9a41c7"
DEPLOYMENT = ("run", "--session", "served", "--until", "deployment", "--json")


@pytest.fixture(scope="module")
def aws():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", f"{ROOT / 'tests' / 'rigs' / 'sky_shim'}:{ROOT}")
        with running_ec2(serve={"controller": {"consolidation_mode": True}}) as rig:
            programs = rig.folder / "programs"
            shutil.copy(vllm_stand_in.__file__, programs / "vllm_stand_in.py")
            (programs / "vllm").write_text(f'#!/bin/bash\nexec {PYTHON} /opt/rig/vllm_stand_in.py "$@"\n')
            (programs / "vllm").chmod(0o755)
            yield rig


@pytest.fixture
def environment(aws):
    yield {**os.environ, VARIABLE: f"shop={KEY}"}
    for region, id in aws.machines():
        aws.terminate(region, id)


def finish_production(folder) -> None:
    """A session whose final model waits for its deployment."""
    session = Session.create(folder / ".calmtune" / "sessions", "served")
    session.answer("session", {"assistant": str(ASSISTANT)})
    session.answer("deployment", {"machine": "skyserve:aws", "python": PYTHON, "served_name": "tuned", "most_replicas": 1})
    finished.finish(session, "coverage", finished.COVERAGE)
    finished.finish(session, "dataset", finished.DATASET)
    finished.finish(session, "training", finished.TRAINING, (), finished.TRAINED, finished.TRAINED_FILES)
    finished.finish(session, "evaluation", finished.FULL_EVALUATION)
    status = session.status("production")
    run = session.begin(status)
    (model,) = made(folder).folders
    shutil.move(model.here, run / "model")
    (run / "manifest.json").write_text(json.dumps({**finished.MANIFEST, "files": dict(model.checksums)}))
    session.finish(status, Outputs(finished.PLAIN_EVALUATION, {"model": "model", "manifest": "manifest.json"}))
    session.close()


def test_served_once_whatever_dies_and_ended(tmp_path, aws, environment):
    finish_production(tmp_path)
    running = Running(tmp_path, environment, *DEPLOYMENT)
    running.wait_for("1 provisioning", 900)
    running.kill()
    told = calmtune(tmp_path, environment, "doctor").stdout
    assert "of session served; `calmtune stop served` ends it" in told, told

    again = Running(tmp_path, environment, *DEPLOYMENT)
    assert again.end(1200) == 0, again.told
    assert "is there already: " in again.told
    assert len([one for one in aws.asked() if not one["refused"]]) == 1, "one machine, for one service"
    (deployment,) = [step for step in json.loads(again.out.splitlines()[-1])["steps"] if step["step"] == "deployment"]
    assert [gate["name"] for gate in deployment["gates"] if not gate["passed"]] == []
    summary = deployment["summary"]
    assert summary["endpoint"].startswith("http://localhost:300")
    body = {"model": "tuned", "messages": [{"role": "user", "content": "hi"}]}
    asked = [
        httpx.post(f"{summary['endpoint']}/chat/completions", json=body, headers={"Authorization": f"Bearer {key}"}, timeout=60)
        for key in (KEY, "x" * 30)
    ]
    assert [answer.status_code for answer in asked] == [200, 401]
    assert "serves with 1 ready at $22.00 an hour" in calmtune(tmp_path, environment, "status").stderr

    home = aws.folder / "home"
    told = {path.name for path in home.rglob("*") if path.is_file() and KEY.encode() in path.read_bytes()}
    assert told <= {"load_balancer.log"}, "SkyServe's own log of headers, of which the owner is warned"
    assert "load_balancer.log" in again.told
    assert [path for path in tmp_path.rglob("*") if path.is_file() and KEY.encode() in path.read_bytes()] == []

    stopped = calmtune(tmp_path, environment, "stop", "served")
    assert stopped.returncode == 0, stopped.stderr
    assert f"stopped {summary['job']}" in stopped.stderr
    deadline = time.monotonic() + 60
    while aws.machines() and time.monotonic() < deadline:
        time.sleep(1)
    assert aws.machines() == []
    assert "serves with" not in calmtune(tmp_path, environment, "status").stderr
    assert f"service {summary['job']}" not in calmtune(tmp_path, environment, "doctor").stdout
