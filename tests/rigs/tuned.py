"""A small real model, tuned on the sample assistant for some minutes: kept beside the environment of vLLM, as it is always the same."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import yaml

from core import demo
from core.training.base_finder import resolve_here
from core.training.base_model import DEMO_MODEL
from core.training.bundle import ModelArtifact
from core.wizard.session import Session
from tests.rigs.recipe import ROOT, command

FOLDER = ROOT / ".venv-vllm" / "tuned"


@dataclass(frozen=True)
class Tuned:
    """What the training left."""

    model: Path
    adapter: Path
    rows: Path
    """Validation rows."""
    longest_row: int


def tuned() -> Tuned:
    """Trained when it is not there yet."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    sample = FOLDER / "sample"
    if not sample.exists():
        demo.copy_to(sample)
    base = asyncio.run(resolve_here(DEMO_MODEL))
    sections = demo.answers(sample)
    sections["dataset"] |= {"num_rephrases": 2, "answer_rephrases": 1}
    sections["training"] |= {"base_model": str(base), "epochs": 0.5, "command_match_min": 0}
    answers = {**sections.pop("session"), **sections}
    (FOLDER / "answers.yml").write_text(yaml.safe_dump(answers))
    run = command("run", "--answers", "answers.yml", "--session", "tuned", "--until", "training")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(run, cwd=FOLDER, env=environment, stdout=sys.stderr, check=False)
    assert done.returncode in (0, 5), "a gate may stop it: so little training is not enough for the assistant"
    session = Session.open(FOLDER / ".calmtune" / "sessions" / "tuned")
    try:
        training, dataset = session.status("training"), session.status("dataset")
        assert training.folder is not None
        assert dataset.folder is not None
        assert dataset.outputs is not None
        rows = dataset.folder / dataset.outputs.files["val_rows"]
    finally:
        session.close()
    artifact = ModelArtifact.in_folder(training.folder)
    return Tuned(artifact.folder, training.folder / "adapter", rows, artifact.longest_row)
