"""Training on machines that SkyPilot rents from AWS, which is moto here: failing over, taken back, ending themselves, at the budget."""

from __future__ import annotations

import json
import os
import time

import pytest

from tests.rigs.ec2 import PYTHON, REGIONS, running_ec2
from tests.rigs.recipe import LEARNS, LONG, ROOT, calmtune, write_answers
from tests.rigs.running import Running

# SkyPilot leaves processes it has started to the garbage collector.
pytestmark = [pytest.mark.rig, pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")]
PLACE = "sky:aws"


@pytest.fixture(scope="module")
def aws():
    with running_ec2() as rig:
        yield rig


@pytest.fixture
def environment(aws):
    aws.refuse()
    aws.give_role(True)
    yield {**os.environ, "PYTHONPATH": str(ROOT)}
    while Running.all:  # of a test that failed: it would rent what is taken away below anew
        Running.all.pop().process.kill()
    for region, id in aws.machines():
        aws.terminate(region, id)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    from tests import tiny_model

    return tiny_model.make(tmp_path_factory.mktemp("tiny") / "model")


def training_until(name: str) -> tuple[str, ...]:
    return ("run", "--answers", "answers.yml", "--session", name, "--until", "training")


def test_spot_fails_over_and_what_is_taken_back_goes_on_elsewhere(tmp_path, aws, environment, tiny):
    write_answers(tmp_path, tiny, PLACE, PYTHON, cloud_spot=True)
    aws.refuse(us_east_1=["spot"], us_east_2=["spot"])
    running = Running(tmp_path, environment, *training_until("spot"), *LONG, "--json")
    running.wait_for(LEARNS)
    ((region, id),) = aws.machines()
    assert region == "us-west-2"
    refused = {one["region"] for one in aws.asked() if one["refused"]}
    assert refused == {"us-east-1", "us-east-2"}
    assert {one["kind"] for one in aws.asked()} == {"spot"}
    for where in refused:
        assert where in running.told, "failing over is told as it happens"
    assert "an hour (spot)" in running.told
    mirrors = tmp_path / ".calmtune" / "sessions" / "spot" / "mirrors"
    running.wait_until(lambda: [*mirrors.glob("*/checkpoints/*")])
    aws.refuse()
    aws.terminate(region, id)
    assert running.end() == 0, running.told
    assert "the machine was taken back; going on on another one" in running.told
    (training,) = [step for step in json.loads(running.out.splitlines()[-1])["steps"] if step["step"] == "training"]
    metrics = (tmp_path / training["folder"] / "metrics.jsonl").read_text().splitlines()
    told = [(line["step"], name) for line in map(json.loads, metrics) for name in line if name != "step"]
    assert len(told) == len(set(told)), "nothing is told twice"
    assert (1, "loss") in told
    assert aws.machines() == []


def test_a_machine_nobody_comes_back_for_ends_itself(tmp_path, aws, environment, tiny):
    write_answers(tmp_path, tiny, PLACE, PYTHON, cloud_idle_minutes=1)
    running = Running(tmp_path, environment, *training_until("left"))
    running.wait_for(LEARNS)
    running.kill()
    assert len(aws.machines()) == 1
    deadline = time.monotonic() + 480
    while aws.machines() and time.monotonic() < deadline:
        time.sleep(2)
    assert aws.machines() == []
    told = calmtune(tmp_path, environment, "doctor").stdout
    assert "rented" not in told, told


def test_a_machine_that_may_not_end_itself_is_noticed(tmp_path, aws, environment, tiny):
    write_answers(tmp_path, tiny, PLACE, PYTHON, cloud_idle_minutes=1)
    aws.give_role(False)
    running = Running(tmp_path, environment, *training_until("stuck"))
    running.wait_for(LEARNS)
    running.kill()
    deadline = time.monotonic() + 900
    told = ""
    while "should have ended itself after 1" not in told and time.monotonic() < deadline:
        time.sleep(20)
        told = calmtune(tmp_path, environment, "doctor").stdout
    assert "it tries and may lack the right to" in told, told
    stopped = calmtune(tmp_path, environment, "stop", "stuck")
    assert stopped.returncode == 0, stopped.stderr
    assert aws.machines() == []


def test_the_budget_cancels_and_ends(tmp_path, aws, environment, tiny):
    write_answers(tmp_path, tiny, PLACE, PYTHON, cloud_budget_usd=0.09)
    running = Running(tmp_path, environment, *training_until("dear"), *LONG)
    assert running.end() == 6, running.told
    assert "raise session.cloud_budget_usd" in running.told
    assert aws.machines() == []
    assert {one["region"] for one in aws.asked()} <= set(REGIONS)
