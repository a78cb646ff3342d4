"""What a training run leaves: both kinds of artifact, their manifest, and the check that they are what was trained."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
import torch
from unit.test_training import events, rows, train

from core.errors import StepFailed
from core.training.bundle import ModelArtifact
from tests import tiny_model
from tests.rigs.program import module

KINDS = ("merged", "adapter")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return tiny_model.make(tmp_path_factory.mktemp("tiny") / "model", spread=0.5)


@pytest.fixture(scope="module", params=KINDS)
def job(request, tiny, tmp_path_factory):
    """(kind, folder) of a run that was told to leave that kind."""
    folder = tmp_path_factory.mktemp(request.param) / "job"
    done = train(folder, tiny, rows(24), rows(6), epochs=2, artifact=request.param)
    assert done.returncode == 0, done.stderr[-2000:]
    return request.param, folder


def sha(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_artifact_is_what_was_asked_for_and_complete(job, tiny):
    kind, folder = job
    artifact = ModelArtifact.in_folder(folder)
    artifact.verify()
    manifest = artifact.read_manifest()
    assert manifest["artifact"] == kind
    assert manifest["folders"] == (["model", "adapter"] if kind == "merged" else ["adapter"])
    assert (folder / "model").is_dir() is (kind == "merged")
    assert set(manifest["files"]) == {path.name for path in artifact.folder.iterdir()}
    for name in ("model", "adapter") if kind == "merged" else ("adapter",):
        assert (folder / name / "tokenizer.json").is_file()
        assert "im_start" in (folder / name / "chat_template.jinja").read_text()
    assert manifest["base"] == {
        "name": "someone/tiny",
        "files": {name: sha(tiny / name) for name in ("config.json", "model.safetensors")},
    }
    assert manifest["rows"] == {
        "train": {"count": 24, "sha256": sha(folder / "train.rows")},
        "val": {"count": 6, "sha256": sha(folder / "val.rows")},
    }


def test_an_adapter_can_be_taken_elsewhere(job, tiny):
    _, folder = job
    assert (
        json.loads((folder / "adapter" / "adapter_config.json").read_text())["base_model_name_or_path"]
        == "someone/tiny"
    )
    assert (
        json.loads((folder / "adapter" / "base_model.json").read_text())
        == json.loads((folder / "manifest.json").read_text())["base"]
    )
    for path in (folder / "adapter").iterdir():
        assert str(tiny).encode() not in path.read_bytes(), path


def test_what_was_saved_was_read_back_and_the_figure_is_kept(job):
    _, folder = job
    figure = json.loads((folder / "manifest.json").read_text())["reload_difference"]
    assert 0 <= figure < 1e-4
    (line,) = [event["line"] for event in events(folder) if "read back from disk" in event.get("line", "")]
    assert f"differ by {figure:.1e} of their spread" in line


def test_a_changed_file_of_either_kind_is_named(job):
    kind, folder = job
    artifact = ModelArtifact.in_folder(folder)
    weights = artifact.folder / ("model.safetensors" if kind == "merged" else "adapter_model.safetensors")
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(StepFailed, match=f"{weights.name} is not the file that was trained"):
        artifact.verify()
    weights.unlink()
    with pytest.raises(StepFailed, match=f"lacks {weights.name}"):
        artifact.verify()
    weights.write_bytes(whole)


def test_a_damaged_manifest_is_named(tmp_path):
    (tmp_path / "manifest.json").touch()
    with pytest.raises(StepFailed, match=r"manifest.json is damaged .*; train again"):
        ModelArtifact(tmp_path / "model", tmp_path / "manifest.json").verify()


def test_both_kinds_come_from_the_same_training(tiny, tmp_path):
    for kind in KINDS:
        assert train(tmp_path / kind, tiny, rows(24), rows(6), epochs=2, artifact=kind).returncode == 0
    predictions = [(tmp_path / kind / "predictions.jsonl").read_text() for kind in KINDS]
    assert predictions[0] == predictions[1]
    adapters = [(tmp_path / kind / "adapter" / "adapter_model.safetensors").read_bytes() for kind in KINDS]
    assert adapters[0] == adapters[1]


@pytest.mark.parametrize("kind", KINDS)
def test_training_in_bfloat16_stays_within_what_rounding_explains(tiny, tmp_path, kind):
    done = train(tmp_path / "job", tiny, rows(24), rows(6), epochs=2, dtype="bfloat16", artifact=kind)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    manifest = json.loads((tmp_path / "job" / "manifest.json").read_text())
    assert manifest["dtype"] == "bfloat16"
    assert manifest["reload_difference"] < 0.1
    assert kind == "merged" or manifest["reload_difference"] < 1e-3, "the same products as in training"


DAMAGES = {
    "the adapter is not merged in": """
from peft.tuners.lora import layer
layer.Linear.merge = lambda self, **_: None
""",
    "a layer is lost on the way to disk": """
import transformers
plain = transformers.PreTrainedModel.save_pretrained
def save(self, folder, **more):
    if str(folder) == "model":
        self.model.layers[1].mlp.down_proj.weight.data.zero_()
    plain(self, folder, **more)
transformers.PreTrainedModel.save_pretrained = save
""",
}


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_merge_is_caught(tiny, tmp_path, damage, dtype):
    (tmp_path / "patch").mkdir()
    (tmp_path / "patch" / "sitecustomize.py").write_text(DAMAGES[damage])
    patched = {"PYTHONPATH": str(tmp_path / "patch")}
    done = train(tmp_path / "job", tiny, rows(24), rows(6), epochs=2, dtype=dtype, environment=patched, cold=True)
    assert done.returncode == 1, done.stderr[-2000:]
    assert "the model that was saved is not the one that was trained" in done.stdout
    assert f"after training in {dtype}" in done.stdout
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "job" / "manifest.json").exists(), "nothing is called done"


def test_rows_that_are_read_back_are_few_and_bounded():
    from datasets import Dataset

    check = module("reload_check")
    lengths = [[check.MOST_TOKENS + 1, 5], [3000, 1000, 2000], [10] * 9]
    chosen = [
        [len(row["input_ids"]) for row in check._first(Dataset.from_list([{"input_ids": [1] * of} for of in given]))]
        for given in lengths
    ]
    assert chosen == [[check.MOST_TOKENS + 1], [3000, 1000], [10] * check.ROWS]


def test_a_saved_model_that_the_gpu_cannot_hold_is_read_back_on_the_cpu(tiny, tmp_path, monkeypatch):
    from transformers import LlamaForCausalLM

    plain = LlamaForCausalLM.to

    def to(self, device):
        if device == "gpu":
            raise torch.OutOfMemoryError("CUDA out of memory")
        return plain(self, device)

    monkeypatch.setattr(LlamaForCausalLM, "to", to)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model").symlink_to(tiny)
    assert module("reload_check").load_saved("unused", torch.float32, "gpu").device.type == "cpu"


def test_a_model_of_full_training_is_a_merged_one_without_adapter(tiny, tmp_path, monkeypatch):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    saving = module("saving")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.jsonl").write_text("{}\n")
    config = {"model": str(tiny), "name": "someone/tiny", "artifact": "merged", "train": Path("train.jsonl"), "val": None}
    model = AutoModelForCausalLM.from_pretrained(tiny)
    base = saving.describe_base(config)
    weights = module("weights").trained_weights(model)
    left = saving.save(model, weights, AutoTokenizer.from_pretrained(tiny), config, base, torch.float32)
    saving.write_manifest(left, config, base, {})
    artifact = ModelArtifact.in_folder(tmp_path)
    artifact.verify()
    assert artifact.folder.name == "model"
    assert artifact.read_manifest()["folders"] == ["model"]


def test_logits_that_say_nothing_are_no_damage():
    check = module("reload_check")
    table = torch.randn(5, 11)
    flat = torch.ones(5, 11)
    assert check.difference(flat, flat) == 0.0
    assert check.difference(table + 3.0, table) < 1e-6, "no probability depends on a constant"
    assert check.difference(table, flat) > 1, "a spread out of nothing is one"
    assert check.difference(table * 1.1, table) == pytest.approx(0.1, rel=1e-3)
    assert not check.difference(torch.full((5, 11), float("nan")), table) <= 1
