"""The workflow for GitHub Actions: valid for GitHub, and its shell steps do what they say."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from core.demo import copy_to
from tests.rigs.recipe import ASSISTANT, ROOT

WORKFLOW = ROOT / "docs" / "examples" / "github-actions.yml"


def test_github_would_take_it():
    check = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.github-workflows", str(WORKFLOW)]
    done = subprocess.run(check, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def play(tmp_path):
    """Play the steps of a job as a runner does: each in a shell of its own, those after a failed one only if they say so."""
    (tmp_path / "bin").mkdir()
    for name, module in (("calmtune", "-m tui.cli "), ("python", "")):
        path = tmp_path / "bin" / name
        path.write_text(f'#!/bin/sh\nexec {sys.executable} {module}"$@"\n')
        path.chmod(0o755)

    def run(folder: Path, job: str, *names: str) -> dict[str, subprocess.CompletedProcess[str]]:
        workflow = yaml.safe_load(WORKFLOW.read_text())
        environment = {
            **os.environ, **workflow["env"], "PYTHONPATH": str(ROOT), "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}",
            "GITHUB_STEP_SUMMARY": str(folder / "summary.md"),
        }  # fmt: skip
        done: dict[str, subprocess.CompletedProcess[str]] = {}
        for step in workflow["jobs"][job]["steps"]:
            name = step.get("name", "")
            if "run" not in step or name == "Install" or (names and name not in names):
                continue
            if any(found.returncode for found in done.values()) and "if" not in step:
                continue
            shell = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]]
            done[name] = subprocess.run(shell, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        return done

    return run


def test_the_coverage_of_the_demo_passes(play, tmp_path):
    folder = tmp_path / "demo"
    copy_to(folder)
    (folder / "answers.yml").write_text("assistant: assistant\n")
    done = play(folder, "coverage")
    for name, found in done.items():
        assert found.returncode == 0, f"{name}: {found.stderr}"
    assert list(done) == ["Check the answers", "Coverage without a language model", "Summary", "Outcome"]
    assert "Coverage review" in (folder / "summary.md").read_text()
    assert json.loads((folder / "events.jsonl").read_text().splitlines()[-1])["exit_code"] == 0
    assert done["Outcome"].stdout == "passed \n"


def test_a_gate_that_fails_fails_the_job_and_is_in_its_summary(play, tmp_path):
    (tmp_path / "answers.yml").write_text(f"assistant: {ASSISTANT}\ncoverage: {{min_command_samples: 1000}}\n")
    done = play(tmp_path, "coverage")
    assert done["Coverage without a language model"].returncode == 5
    assert "every command represented" in (tmp_path / "summary.md").read_text()
    assert done["Outcome"].stdout.startswith("gate failed Coverage review: every command represented")


def test_a_mistake_in_the_answers_stops_it_at_once(play, tmp_path):
    (tmp_path / "answers.yml").write_text("assistant: .\nseed: soon\n")
    done = play(tmp_path, "coverage", "Check the answers", "Coverage without a language model")
    assert {name: found.returncode for name, found in done.items()} == {"Check the answers": 2}
    assert "answers.yml:2: seed: must be a whole number, not 'soon'" in done["Check the answers"].stderr


def test_the_plan_of_the_verdict_is_told_before_it_runs(play, tmp_path):
    (tmp_path / "answers.yml").write_text(f"assistant: {ASSISTANT}\ncommands: infer\n")
    done = play(tmp_path, "verdict", "What it would take")
    assert "evaluation  run" in done["What it would take"].stdout
    assert not (tmp_path / ".calmtune").exists()
