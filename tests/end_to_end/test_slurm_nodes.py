"""Training on two nodes that SkyPilot rents: unmodified SkyPilot on a real Slurm of two, torchrun between them, a secret nobody writes."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests import tiny_model
from tests.rigs.recipe import ROOT, calmtune, write_answers
from tests.rigs.slurm import CLUSTER, running_slurm, sky_knows

# SkyPilot leaves processes it has started to the garbage collector.
pytestmark = [pytest.mark.rig, pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")]
CANARY = "canary-7c19d4"


def test_two_rented_nodes_train_one_model(tmp_path):
    with running_slurm(nodes=2) as rig, sky_knows(rig):
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "HF_TOKEN": CANARY, "CALMTUNE_REMOTE_FOLDER": str(rig.folder / "there")}
        (rig.folder / "there").mkdir(mode=0o777)
        (rig.folder / "there").chmod(0o777)
        write_answers(tmp_path, tiny_model.make(tmp_path / "tiny"), f"sky:slurm/{CLUSTER}", str(rig.python))
        ran = calmtune(
            tmp_path, environment, "run", "--answers", "answers.yml", "--session", "two", "--until", "training", "--json",
            "--set", "training.nodes=2",
        )  # fmt: skip
        try:
            assert ran.returncode == 0, ran.stderr
        finally:
            stopped = calmtune(tmp_path, environment, "stop", "two")
        assert "2 nodes of" in ran.stderr, ran.stderr
        (training,) = [step for step in json.loads(ran.stdout.splitlines()[-1])["steps"] if step["step"] == "training"]
        left = tmp_path / training["folder"]
        assert (left / "adapter" / "adapter_model.safetensors").is_file()
        assert json.loads((left / "plan.json").read_text())["sentence"]
        jobs = rig.folder / "there" / "jobs"
        (head,), (other,) = jobs.glob("*-training-*-train"), jobs.glob("node1/*-training-*-train")
        parts = [json.loads((folder / "exit.json").read_text()) for folder in (head, other)]
        assert [part["state"] for part in parts] == ["succeeded", "succeeded"]
        assert (head / "manifest.json").is_file()
        assert not (other / "manifest.json").exists(), "one leads"
        assert rig.run("squeue", "-h").strip() == "", stopped.stderr
        for where in (tmp_path, rig.folder, Path("~calmtune-rig").expanduser()):
            for path in where.rglob("*"):
                assert not path.is_file() or CANARY.encode() not in path.read_bytes(), path
