"""One file is the whole run: the same bytes from the same inputs, on every place, and enough for Python and a base model alone."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from dataclasses import asdict
from pathlib import Path

import pytest

from core.training.archive import ARCHIVE, write_archive
from core.training.bundle import ModelArtifact
from core.training.checksums import checksum
from core.training.plan import settings_of
from provisioning.job import Job
from provisioning.local import wait
from tests import tiny_model
from tests.contracts.places import place_of, server_for
from tests.unit.test_training import rows

CONFIG = {
    "name": "someone/tiny",
    "artifact": "merged",
    "settings": asdict(settings_of("small-cpu", dtype="float32", rows_per_step=4)),
    "plan": {"micro_rows": 2},
}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return tiny_model.make(tmp_path_factory.mktemp("tiny") / "model")


def archive_in(folder: Path, count: int = 24, config=CONFIG, val: bool = True) -> Path:
    folder.mkdir()
    for name, size in (("train.rows", count), ("val.rows", 6)):
        (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows(size)))
    place = folder / ARCHIVE
    assert write_archive(place, config, folder / "train.rows", folder / "val.rows" if val else None) == checksum(place)
    return place


def test_the_same_inputs_are_the_same_bytes(tmp_path, monkeypatch):
    first = archive_in(tmp_path / "a").read_bytes()
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    old = os.umask(0o077)
    try:
        other_order = dict(reversed({**CONFIG, "settings": dict(reversed(CONFIG["settings"].items()))}.items()))
        again = archive_in(tmp_path / "b", config=other_order)
        os.utime(tmp_path / "b" / "train.rows", (1e9, 1e9))
        assert again.read_bytes() == first
        write_archive(again, CONFIG, tmp_path / "b" / "train.rows", tmp_path / "b" / "val.rows")
        assert again.read_bytes() == first
    finally:
        os.umask(old)
    assert [path.name for path in sorted((tmp_path / "b").iterdir())] == ["train.rows", ARCHIVE, "val.rows"]


def test_other_inputs_are_other_bytes(tmp_path):
    made = [
        archive_in(tmp_path / "a"),
        archive_in(tmp_path / "b", count=23),
        archive_in(tmp_path / "c", val=False),
        archive_in(tmp_path / "d", config={**CONFIG, "plan": {"micro_rows": 4}}),
    ]
    assert len({checksum(archive) for archive in made}) == 4


def test_an_archive_holds_the_rows_as_they_are(tmp_path):
    with zipfile.ZipFile(archive_in(tmp_path / "a")) as archive:
        assert archive.read("train.jsonl") == (tmp_path / "a" / "train.rows").read_bytes()
        assert archive.read("val.jsonl") == (tmp_path / "a" / "val.rows").read_bytes()
        assert json.loads(archive.read("config.json")) == CONFIG
        assert archive.namelist() == ["config.json", *sorted(set(archive.namelist()) - {"config.json"})]


WITHOUT_OURS = """
import os, sys
sys.path[:] = [folder for folder in sys.path if not os.path.isdir(os.path.join(folder, "core"))]
"""


def test_it_trains_in_a_bare_folder(tmp_path, tiny):
    bare = tmp_path / "bare"
    bare.mkdir()
    (tmp_path / "patch").mkdir()
    (tmp_path / "patch" / "sitecustomize.py").write_text(WITHOUT_OURS)
    shutil.copy(archive_in(tmp_path / "made"), bare / "copy.pyz")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "patch"), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "copy.pyz", str(tiny)], cwd=bare, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    digest = checksum(bare / "copy.pyz")
    assert f"the training archive has SHA-256 {digest}" in done.stdout
    artifact = ModelArtifact(bare / "model", bare / "manifest.json")
    artifact.verify()
    assert artifact.read_manifest()["archive"] == digest
    left = {path.name for path in bare.iterdir()}
    assert {"model", "adapter", "manifest.json", "predictions.jsonl", "events.jsonl", "copy.pyz"} <= left
    assert not {"program.py", "config.json", "train.jsonl", "core"} & left


def test_every_place_runs_the_same_bytes(tmp_path, tiny):
    archive, models = archive_in(tmp_path / "made"), []
    files = {ARCHIVE: archive, "base": tiny}
    job = Job("train", (sys.executable, ARCHIVE, "base"), files=files, environment={"OMP_NUM_THREADS": "1"})
    for kind in ("local", "ssh"):
        (tmp_path / kind).mkdir()
        with server_for(kind, tmp_path / f"{kind}d") as server, place_of(kind, tmp_path / kind, server) as place:
            status = wait(place.target, place.target.submit(job), 300)
            assert status.state == "succeeded", status.detail
            assert checksum(place.folder("train") / ARCHIVE) == checksum(archive)
            place.target.fetch("train", ["model", "manifest.json", ARCHIVE], tmp_path / "back" / kind)
        back = tmp_path / "back" / kind
        assert checksum(back / ARCHIVE) == checksum(archive)
        models.append(ModelArtifact(back / "model", back / "manifest.json").read_manifest())
    assert models[0]["archive"] == models[1]["archive"] == checksum(archive)
    assert models[0]["files"]["model.safetensors"] == models[1]["files"]["model.safetensors"]
