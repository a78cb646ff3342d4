"""Quantised copies by the real llm-compressor in the environment that the job would make. Slow: it installs that once."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from core.training.bundle import ModelArtifact, quantising_program, quantising_requirements
from provisioning.environment import environments, prepare
from tests import tiny_model

pytestmark = pytest.mark.slow

LOGITS = """
import sys, torch
from transformers import AutoModelForCausalLM, AutoTokenizer
tokenizer = AutoTokenizer.from_pretrained("model")
tokens = tokenizer("start flow book_bed and set slot nights 3", return_tensors="pt")
one, other = (AutoModelForCausalLM.from_pretrained(name, dtype=torch.float32)(**tokens).logits[0] for name in ("model", "quantised"))
print(float((one - other).square().mean().sqrt() / one.std()))
"""


@pytest.fixture(scope="module")
def python() -> str:
    """The interpreter of the environment; $CALMTUNE_QUANTISE_PYTHON names one that is there already."""
    given = os.environ.get("CALMTUNE_QUANTISE_PYTHON")
    return given or str(prepare(quantising_requirements(), environments()) / "bin" / "python")


def quantise(folder: Path, python: str, kind: str, width: int = 64) -> subprocess.CompletedProcess[str]:
    tiny_model.make(folder / "model", spread=0.1, width=width)
    for name, source in quantising_program().items():
        shutil.copyfile(source, folder / name)
    rows = [{"prompt": f"book a bed for {n} nights", "completion": f"set slot nights {n}"} for n in range(24)]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    told = {"model": "model", "rows": "rows.jsonl", "kind": kind, "samples": 16, "seed": 1}
    (folder / "config.json").write_text(json.dumps(told))
    return subprocess.run([python, "quantise.py", "config.json"], cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(("kind", "most"), [("int8", 0.05), ("int4", 0.4)])
def test_a_copy_says_nearly_the_same(tmp_path, python, kind, most):
    done = quantise(tmp_path, python, kind)
    assert done.returncode == 0, done.stderr[-2000:]
    assert f"{kind}: calibrating on 16 of 24 rows" in done.stdout
    artifact = ModelArtifact(tmp_path / "quantised", tmp_path / "quantised.json")
    artifact.verify()
    assert artifact.read_manifest()["kind"] == kind
    settings = json.loads((tmp_path / "quantised" / "config.json").read_text())["quantization_config"]
    assert settings["quant_method"] == "compressed-tensors"
    (tmp_path / "logits.py").write_text(LOGITS)
    apart = subprocess.run([python, "logits.py"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert 0 < float(apart.stdout.splitlines()[-1]) < most


def test_layers_that_cannot_be_cut_into_groups_are_refused_in_a_sentence(tmp_path, python):
    done = quantise(tmp_path, python, "int4", width=48)
    assert done.returncode == 1
    assert "layers of width 48 cannot be cut into groups of 32; take int8 instead" in done.stdout
    assert "Traceback" not in done.stderr
