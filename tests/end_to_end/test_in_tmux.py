"""The app in a real terminal, as a person uses it: walked through, killed, gone on with, left while it runs, found again."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import psutil
import pytest

from tests.rigs.recipe import ASSISTANT, ROOT, calmtune, command
from tests.rigs.tmux import Terminal, needs_tmux

pytestmark = needs_tmux
STEPS = ("Coverage review", "Data preparation", "Fine-tuning", "Evaluation", "Production model", "Deployment", "Connection")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    from tests import tiny_model

    return tiny_model.make(tmp_path_factory.mktemp("tiny") / "model")


@pytest.fixture
def environment():
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def answers(folder: Path, tiny: Path, epochs: int) -> None:
    (folder / "answers.yml").write_text(
        f"""
assistant: {ASSISTANT}
commands: infer
dataset: {{num_rephrases: 0}}
training: {{base_model: {tiny}, epochs: {epochs}, rows_per_step: 1, dtype: float32, command_match_min: 0}}
evaluation: {{validation_min: 0, train_min: 0}}
production: {{retrain: false}}
"""
    )


def test_walked_killed_resumed_left_and_attached(tmp_path, tiny, environment):
    answers(tmp_path, tiny, epochs=40)
    begun = calmtune(tmp_path, environment, "run", "--answers", "answers.yml", "--session", "one", "--until", "coverage")
    assert begun.returncode == 0, begun.stderr

    def open_app(name: str) -> Terminal:
        return Terminal(command(), tmp_path, environment, tmp_path / f"{name}.cast")

    with open_app("1-killed") as terminal:
        terminal.wait_for("2 Data preparation", "^r Run")
        terminal.type("C-r")
        terminal.wait_for("passed", "Next step")
        terminal.type("C-n")
        terminal.wait_for("3 Fine-tuning", "^r Run")
        terminal.type("C-r")
        terminal.wait_for("train loss")
        os.kill(terminal.pid, signal.SIGKILL)
    with open_app("2-left-while-it-runs") as terminal:
        terminal.wait_for("3 Fine-tuning", "interrupted", "^r Run")
        terminal.type("C-r")
        terminal.wait_for("train loss")
        terminal.type("C-q")
        terminal.wait_for("Something is running", "Leave, let it run", "Stay")
        terminal.type("l")
        assert terminal.wait_for_end() == 0
    with open_app("3-terminated") as terminal:
        terminal.wait_for("3 Fine-tuning", "^r Run")
        terminal.type("C-r")
        terminal.wait_for("train loss")
        os.kill(terminal.pid, signal.SIGTERM)
        assert terminal.wait_for_end() == 130
        terminal.wait_for("Fine-tuning (step 3) goes on; `calmtune stop one` ends it")
    with open_app("3-terminal-gone") as terminal:
        terminal.wait_for("3 Fine-tuning", "^r Run")
        orphan = psutil.Process(terminal.pid)
    assert psutil.wait_procs([orphan], timeout=10)[1] == []
    with open_app("4-attached") as terminal:
        terminal.wait_for("3 Fine-tuning", "^r Run")
        terminal.type("C-r")
        terminal.wait_for("curve healthy", seconds=240)
    recorded = (tmp_path / "4-attached.cast").read_text()
    assert '"i", "C-r"' in recorded


@pytest.mark.slow
def test_walked_to_the_end_gone_back_and_edited(tmp_path, tiny, environment):
    answers(tmp_path, tiny, epochs=40)
    begun = calmtune(tmp_path, environment, "run", "--answers", "answers.yml", "--session", "one", "--until", "training")
    assert begun.returncode == 0, begun.stderr
    with Terminal(command(), tmp_path, environment, tmp_path / "5-to-the-end.cast") as terminal:
        terminal.wait_for("4 Evaluation", "^r Run")
        terminal.type("C-b")
        terminal.wait_for("3 Fine-tuning", "curve healthy")
        for title, seen in (("4 Evaluation", "Failures"), ("5 Production model", "passed"), ("6 Deployment", "endpoint healthy"),
                            ("7 Connection", "First conversation")):  # fmt: skip
            terminal.type("C-n")
            terminal.wait_for(title, "^r Run")
            terminal.type("C-r")
            terminal.wait_for(title, seen, "^e Answers", seconds=240)
        assert "7 of 7 done" in terminal.screen
    with Terminal(command(), tmp_path, environment, tmp_path / "6-back-and-edited.cast") as terminal:
        terminal.wait_for("all 7 steps are done", "just now")
        terminal.type("Enter")
        terminal.wait_for("7 of 7 done", "^b Back")
        for title in ("6 Deployment", "5 Production model", "4 Evaluation", "3 Fine-tuning"):
            terminal.type("C-b")
            terminal.wait_for(title)
        terminal.type("C-e")
        terminal.wait_for("Effort", "^r Run")
        terminal.type("Tab", "Tab", "End", "BSpace", "BSpace", "BSpace", "BSpace", "2")
        terminal.wait_for("--set training.epochs=2", "run again")
        terminal.type("C-r")
        terminal.wait_for("This makes finished steps stale", "epochs 40.0 → 2.0", "Keep as it is")
        terminal.type("Escape")
        terminal.wait_for("7 of 7 done", "Learning rate")  # a terminal takes an Escape with a key right behind it for another key
        terminal.type("C-q")
        assert terminal.wait_for_end() == 0
    stopped = calmtune(tmp_path, environment, "stop", "one")
    assert stopped.returncode == 0, stopped.stderr
