"""The recipe with its work done on another machine: a real sshd, real training, a real server, and a link that is cut on the way."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.rigs.recipe import ROOT, calmtune, command, write_answers
from tests.rigs.sshd import running_sshd

CANARY = "canary-8d21f6"


@pytest.fixture
def server(tmp_path):
    with running_sshd(tmp_path / "sshd") as running:
        running.trust()
        yield running


@pytest.fixture
def environment(tmp_path, server):
    (tmp_path / "ssh_config").write_text(server.config())
    return {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "CALMTUNE_SSH_CONFIG": str(tmp_path / "ssh_config"),
        "CALMTUNE_REMOTE_FOLDER": str(tmp_path / "there"),
        "HF_TOKEN": CANARY,
    }


@pytest.mark.slow
def test_seven_steps_over_ssh_with_the_link_cut_twice_while_training(tmp_path, server, environment):
    from tests import tiny_model

    write_answers(tmp_path, tiny_model.make(tmp_path / "tiny"), "ssh:box", sys.executable)
    cuts: list[int] = []
    done = threading.Event()
    cutter = threading.Thread(target=cut_twice, args=(server, tmp_path / "there" / "jobs", cuts, done), daemon=True)
    cutter.start()
    ran = calmtune(tmp_path, environment, "run", "--answers", "answers.yml", "--session", "one", "--json")
    done.set()
    cutter.join()
    try:
        assert ran.returncode == 0, ran.stderr
        assert len(cuts) == 2
        steps = {step["step"]: step for step in json.loads(ran.stdout.splitlines()[-1])["steps"]}
        assert [step["state"] for step in steps.values()] == ["fresh"] * 7
        metrics = (tmp_path / steps["training"]["folder"] / "metrics.jsonl").read_text().splitlines()
        told = [json.loads(line)["step"] for line in metrics]
        assert told == sorted(told)
        produced = tmp_path / steps["production"]["folder"]
        assert (produced / "adapter" / "adapter_model.safetensors").is_file()
        assert not (produced / "model").exists(), "only the adapter travels"
        again = calmtune(tmp_path, environment, "resume", "one")
        assert again.stderr.count("nothing to repeat") == 7, again.stderr
    finally:
        stopped = calmtune(tmp_path, environment, "stop", "one")
    assert "stopped one-deployment" in stopped.stderr
    assert "running" not in calmtune(tmp_path, environment, "doctor").stdout
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or CANARY.encode() not in path.read_bytes(), path


@pytest.mark.slow
def test_killed_while_training_over_ssh_it_goes_on_with_the_same_job(tmp_path, environment):
    from tests import tiny_model

    write_answers(tmp_path, tiny_model.make(tmp_path / "tiny"), "ssh:box", sys.executable)
    until_training = ("run", "--answers", "answers.yml", "--session", "one", "--until", "training")
    running = subprocess.Popen(command(*until_training), cwd=tmp_path, env=environment, stderr=subprocess.DEVNULL)
    while not (found := list((tmp_path / "there" / "jobs").glob("*/*-training-*/wrapper.json"))):
        assert running.poll() is None
        threading.Event().wait(0.05)
    running.kill()
    running.wait()
    first = found[0].read_text()
    resumed = calmtune(tmp_path, environment, "resume", "one", "--until", "training")
    assert resumed.returncode == 0, resumed.stderr
    assert found[0].read_text() == first, "the job was launched once"


def cut_twice(server, jobs: Path, cuts: list[int], done: threading.Event) -> None:
    """Cut the link when the first training has told something, and again when it has told more."""
    for least in (1, 400):
        while not done.wait(0.05):
            told = [path for path in jobs.glob("*/*-training-*/events.jsonl") if path.stat().st_size >= least]
            if told:
                cuts.append(server.relay.cut())
                break


def test_a_preset_for_gpus_is_refused_before_anything_is_sent(tmp_path, environment):
    (tmp_path / "model").mkdir()
    write_answers(tmp_path, tmp_path / "model", "ssh:box", sys.executable)
    preset = ("--set", "training.preset=recipe-2025", "--set", "training.gpus=8")
    ran = calmtune(tmp_path, environment, "run", "--answers", "answers.yml", "--until", "training", *preset)
    assert ran.returncode == 1
    assert "ssh:box is not fit for the preset recipe-2025" in ran.stderr
    assert "8 needed" in ran.stderr


def test_doctor_looks_at_a_machine(tmp_path, environment):
    looked = calmtune(tmp_path, environment, "doctor", "--host", "box", "--json")
    assert looked.returncode == 0, looked.stderr
    checks = {check["name"]: check for check in json.loads(looked.stdout)}
    assert set(checks) == {"reachable", "Python", "GPU", "driver", "CUDA", "disk", "memory", "vLLM"}
    assert checks["reachable"]["passed"]
    assert checks["Python"]["passed"]
    assert all(check["sentence"] for check in checks.values())
    table = calmtune(tmp_path, environment, "doctor", "--host", "box").stdout
    assert "passed" in table


def test_doctor_tells_the_fingerprint_of_an_unknown_machine(tmp_path, server, environment):
    (server.folder / "known_hosts").unlink()
    looked = calmtune(tmp_path, environment, "doctor", "--host", "box")
    assert looked.returncode == 2
    assert "SHA256:" in looked.stderr
    assert not (server.folder / "known_hosts").exists()


def test_doctor_says_that_a_machine_cannot_be_reached(tmp_path, server, environment):
    server.relay.refuse = True
    looked = calmtune(tmp_path, environment, "doctor", "--host", "box")
    assert looked.returncode == 3
    assert "reachable" in looked.stdout
    assert "Traceback" not in looked.stderr
