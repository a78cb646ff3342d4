"""The command line as a process, and the answers of a small recipe whose work is done on another machine."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
ASSISTANT = ROOT / "tests" / "assistants" / "parcels"
LONG = ("--set", "training.epochs=100", "--set", "training.rows_per_step=1")
"""Steps for a minute or two."""
LEARNS = ": loss "
"""In each line that tells of a step."""


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "tui.cli", *arguments]


def calmtune(folder: Path, environment: Mapping[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*arguments), cwd=folder, capture_output=True, text=True, env=environment, check=False)


def write_answers(folder: Path, model: Path, machine: str, python: str, **session: object) -> None:
    """answers.yml of a session that trains, serves and deploys `model` on a machine, with gates that anything passes."""
    elsewhere = {"machine": machine, "python": python}
    answers = {
        "assistant": str(ASSISTANT),
        "commands": "infer",
        "dataset": {"num_rephrases": 0},
        "training": {"base_model": str(model), "epochs": 1, "dtype": "float32", "command_match_min": 0, **elsewhere},
        "evaluation": {"validation_min": 0, "train_min": 0, **elsewhere},
        "deployment": elsewhere,
        **session,
    }
    (folder / "answers.yml").write_text(yaml.safe_dump(answers))
