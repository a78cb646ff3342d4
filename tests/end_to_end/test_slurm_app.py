"""The app on a rented machine: the demo's training on a real Slurm through unmodified SkyPilot, watched, killed, found again, done."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.rigs.recipe import ROOT, calmtune
from tests.rigs.slurm import CLUSTER, running_slurm, sky_knows

pytestmark = [pytest.mark.rig, pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")]


@pytest.fixture(scope="module")
def slurm():
    with running_slurm() as rig, sky_knows(rig):
        yield rig


def driven(folder: Path, environment: dict[str, str], until: str) -> tuple[int, dict[str, object]]:
    program = str(Path(__file__).parents[1] / "rigs" / "driven_app.py")
    done = subprocess.run(
        [sys.executable, program, str(folder / "home" / "sessions"), "lamp", "training", until],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=1800, check=False,
    )  # fmt: skip
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout.splitlines()[-1])


def test_the_demo_trains_on_a_rented_machine_and_survives_the_app(tmp_path, slurm):
    from tui.opening import open_demo

    environment = {**os.environ, "PYTHONPATH": str(ROOT), "CALMTUNE_HOME": str(tmp_path / "home")}
    session = open_demo(tmp_path / "home" / "sessions", "lamp")
    there = {"machine": f"sky:slurm/{CLUSTER}", "python": str(slurm.python)}
    session.answer("training", {**session.answers["training"], **there, "epochs": 0.1, "command_match_min": 0, "dtype": "float32"})
    session.close()
    prepared = calmtune(tmp_path, environment, "run", "--session", "lamp", "--until", "dataset")
    assert prepared.returncode == 0, prepared.stderr
    code, watched = driven(tmp_path, environment, "3")
    assert code < 0, "the app was killed"
    assert watched.get("points", 0) >= 3, watched
    assert "rented machines" in watched["figures"], watched
    (job,) = slurm.run("squeue", "-h", "-o", "%j").split()
    code, finished = driven(tmp_path, environment, "done")
    assert code == 0
    assert "problem" not in finished, finished
    assert finished["points"] > watched["points"], "the curve goes on where it was"
    for when, told in (("while a machine was rented", watched), ("afterwards", finished)):
        print(f"{when} the app was {told['worst_gap_ms']} ms late at most, {told['late']} of {told['looks']} times above 100 ms")
        print(f"its own thread worked {told['worst_work_ms']} ms at most in one go; [late, thread, process] in ms: {told['late_gaps']}")
        print(f"looking for garbage took {told['worst_collection_ms']} ms at most")
        assert told["looks"] > 100, "the event loop was looked at"
    (training,) = (tmp_path / "home" / "sessions" / "lamp" / "runs").glob("training-*")
    assert (training / "adapter" / "adapter_model.safetensors").is_file()
    stopped = calmtune(tmp_path, environment, "stop", "lamp")
    assert f"ended the rented machine {job.rpartition('-')[0]}" in stopped.stderr or "ended the rented machine" in stopped.stderr
    assert slurm.run("squeue", "-h").strip() == ""
