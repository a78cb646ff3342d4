"""All seven steps through the command line, with real training, a real server and real processes; only the model knows nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.rigs import recipe
from tests.rigs.recipe import ASSISTANT, ROOT, command


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    from tests import tiny_model

    return tiny_model.make(tmp_path_factory.mktemp("tiny") / "model")


def calmtune(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return recipe.calmtune(folder, environment(), *arguments)


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def write_answers(folder: Path, tiny: Path, method: str = "auto", **gates: float) -> None:
    (folder / "answers.yml").write_text(
        f"""
assistant: {ASSISTANT}
commands: infer
dataset: {{num_rephrases: 0}}
training: {{base_model: {tiny}, epochs: 1, dtype: float32, method: {method}, command_match_min: 0}}
evaluation: {{validation_min: {gates.get("validation", 0)}, train_min: 0}}
"""
    )


def test_seven_steps_then_nothing_is_repeated_then_stop(tmp_path, tiny):
    write_answers(tmp_path, tiny)
    done = calmtune(tmp_path, "run", "--answers", "answers.yml", "--session", "one", "--json")
    assert done.returncode == 0, done.stderr
    steps = {step["step"]: step for step in json.loads(done.stdout.splitlines()[-1])["steps"]}
    assert [step["state"] for step in steps.values()] == ["fresh"] * 7
    assert steps["coverage"]["summary"]["total"] == 1.0
    final = Path(tmp_path) / steps["production"]["folder"] / "model"
    assert (final / "model.safetensors").is_file()
    assert "**Passed** all" in (final / "README.md").read_text()
    diff = (Path(tmp_path) / steps["connection"]["folder"] / "configuration.diff").read_text()
    assert "+      model_group: calmtune" in diff
    assert "# the model that understands users" not in [line[1:] for line in diff.splitlines() if line[:1] in "+-"]
    again = calmtune(tmp_path, "resume", "one")
    assert again.returncode == 0, again.stderr
    assert again.stderr.count("nothing to repeat") == 7
    stopped = calmtune(tmp_path, "stop", "one")
    assert "stopped one-deployment" in stopped.stderr


def test_a_model_whose_weights_are_all_trained_is_evaluated(tmp_path, tiny):
    write_answers(tmp_path, tiny, method="full")
    done = calmtune(tmp_path, "run", "--answers", "answers.yml", "--session", "one", "--until", "evaluation", "--json")
    assert done.returncode == 0, done.stderr
    steps = {step["step"]: step for step in json.loads(done.stdout.splitlines()[-1])["steps"]}
    assert steps["evaluation"]["state"] == "fresh"
    left = Path(tmp_path) / steps["training"]["folder"]
    assert (left / "model" / "model.safetensors").is_file()
    assert not (left / "adapter").exists()
    assert json.loads((left / "plan.json").read_text())["method"] == "full"


def test_a_gate_that_is_not_reached_ends_with_five(tmp_path, tiny):
    write_answers(tmp_path, tiny, validation=0.8)
    done = calmtune(tmp_path, "run", "--answers", "answers.yml", "--session", "one", "--until", "evaluation")
    assert done.returncode == 5, done.stderr
    assert "FAILED: validation tests: 0.0 %" in done.stderr
    assert calmtune(tmp_path, "resume", "one").returncode == 5


def test_killed_while_training_it_goes_on_with_the_same_job(tmp_path, tiny):
    write_answers(tmp_path, tiny)
    running = subprocess.Popen(
        command("run", "--answers", "answers.yml", "--session", "one", "--until", "training"),
        cwd=tmp_path,
        env=environment(),
        stderr=subprocess.DEVNULL,
    )
    jobs = tmp_path / ".calmtune" / "sessions" / "one" / "jobs"
    for _ in range(1200):
        if list(jobs.glob("*/wrapper.json")):
            break
        time.sleep(0.05)
    running.send_signal(signal.SIGKILL)
    running.wait()
    (folder,) = jobs.iterdir()
    first = (folder / "wrapper.json").read_text()
    done = calmtune(tmp_path, "resume", "one", "--until", "training")
    assert done.returncode == 0, done.stderr
    assert (folder / "wrapper.json").read_text() == first, "the job was launched once"
    assert done.stderr.count("nothing to repeat") == 2
