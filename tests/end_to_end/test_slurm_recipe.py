"""The recipe on machines that SkyPilot rents: unmodified SkyPilot on a real Slurm, real training, a killed wizard, a served model."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.rigs.recipe import LEARNS, LONG, ROOT, calmtune, command, write_answers
from tests.rigs.slurm import CLUSTER, running_slurm, sky_knows

# SkyPilot leaves processes it has started to the garbage collector.
pytestmark = [pytest.mark.rig, pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")]
CANARY = "canary-5b77e2"
PLACE = f"sky:slurm/{CLUSTER}"


@pytest.fixture(scope="module")
def slurm():
    with running_slurm() as rig, sky_knows(rig):
        yield rig


@pytest.fixture
def environment(slurm):
    return {**os.environ, "PYTHONPATH": str(ROOT), "HF_TOKEN": CANARY}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    from tests import tiny_model

    return tiny_model.make(tmp_path_factory.mktemp("tiny") / "model")


def machines(environment: dict[str, str]) -> list[str]:
    """Names of the machines SkyPilot knows, asked of Slurm."""
    code = "import sky; print(*[one['name'] for one in sky.get(sky.status(None, refresh=sky.StatusRefreshMode.FORCE))])"
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True
    ).stdout.split()


def test_rented_trained_killed_adopted_fetched_and_ended(tmp_path, slurm, environment, tiny):
    write_answers(tmp_path, tiny, PLACE, str(slurm.python))
    until_training = ("run", "--answers", "answers.yml", "--session", "one", "--until", "training")
    running = subprocess.Popen(
        command(*until_training, *LONG), cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True
    )
    told = []
    for line in running.stderr:
        told.append(line)
        if LEARNS in line or running.poll() is not None:
            break
    assert any(LEARNS in line for line in told), "".join(told)
    assert any("Slurm (gpu) at $" in line for line in told), "".join(told)
    running.kill()
    running.wait()
    running.stderr.close()
    (machine,) = machines(environment)
    looked = calmtune(tmp_path, environment, "doctor").stdout
    assert machine in looked
    assert "of session one; `calmtune stop one` ends it" in looked
    jobs = slurm.run("squeue", "-h", "-o", "%j").split()
    resumed = calmtune(tmp_path, environment, "resume", "one", "--until", "training", "--json")
    assert resumed.returncode == 0, resumed.stderr
    assert len(jobs) == 1, "one machine was rented"
    (training,) = [step for step in json.loads(resumed.stdout.splitlines()[-1])["steps"] if step["step"] == "training"]
    left = tmp_path / training["folder"]
    steps = [json.loads(line)["step"] for line in (left / "metrics.jsonl").read_text().splitlines()]
    assert steps == sorted(steps)
    assert 1 in steps, "the part before the kill is there too"
    assert (left / "adapter" / "adapter_model.safetensors").is_file()
    assert f"{machine} is ended" in resumed.stderr
    assert machines(environment) == []
    assert slurm.run("squeue", "-h").strip() == ""


def test_seven_steps_on_rented_machines_keep_secrets(tmp_path, slurm, environment, tiny):
    write_answers(tmp_path, tiny, PLACE, str(slurm.python))
    ran = calmtune(tmp_path, environment, "run", "--answers", "answers.yml", "--session", "two", "--json")
    try:
        assert ran.returncode == 0, ran.stderr
        assert [step["state"] for step in json.loads(ran.stdout.splitlines()[-1])["steps"]] == ["fresh"] * 7
        (machine,) = machines(environment)
        assert f"{machine} is busy and goes on" in ran.stderr
        assert CANARY not in subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    finally:
        stopped = calmtune(tmp_path, environment, "stop", "two")
    assert f"ended the rented machine {machine}" in stopped.stderr, stopped.stderr
    assert machines(environment) == []
    for where in (tmp_path, slurm.folder, Path("~calmtune-rig").expanduser()):
        for path in where.rglob("*"):
            assert not path.is_file() or CANARY.encode() not in path.read_bytes(), path


def test_a_machine_ended_from_outside_is_noticed_and_named(tmp_path, slurm, environment, tiny):
    write_answers(tmp_path, tiny, PLACE, str(slurm.python))
    running = subprocess.Popen(
        command("run", "--answers", "answers.yml", "--session", "three", "--until", "training", *LONG),
        cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    told = []

    def listen() -> None:
        told.extend(iter(running.stderr.readline, ""))

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    deadline = time.monotonic() + 300
    while not any(LEARNS in line for line in told) and time.monotonic() < deadline and running.poll() is None:
        time.sleep(0.2)
    slurm.run("scancel", "--user=calmtune-rig")
    assert running.wait(300) == 7, "".join(told)
    listener.join()
    assert "is not there: it was taken back by the cloud" in "".join(told)
    assert machines(environment) == []


def test_the_budget_ends_the_job_and_the_machine(tmp_path, slurm, environment, tiny):
    write_answers(tmp_path, tiny, PLACE, str(slurm.python), cloud_budget_usd=0.0001)
    ran = calmtune(
        tmp_path, environment, "run", "--answers", "answers.yml", "--session", "four", "--until", "training",
        *LONG,
    )  # fmt: skip
    assert ran.returncode == 6, ran.stderr
    assert "raise session.cloud_budget_usd" in ran.stderr
    assert machines(environment) == []
