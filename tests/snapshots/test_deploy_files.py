"""Every file to take a model elsewhere, word for word. `pytest tests/snapshots --snapshot-update` takes them anew."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.serving.manifests import versions
from core.serving.manifests.folder import write_files
from tests.rigs.served_models import adapter, whole

MODELS = {
    "a whole model": whole(),
    "an adapter on a model from the hub": adapter(),
    "an adapter on a model of its owner's": adapter(Path("/home/ann/base"), name="My_Model"),
    "a large model, three servers": whole(gigabytes=145, gpus=4, replicas=3),
}


@pytest.mark.parametrize("model", MODELS)
def test_all_files(model, tmp_path, snapshot):
    write_files(MODELS[model], tmp_path)
    for path in sorted(path for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".pyz"):
        name = path.relative_to(tmp_path).as_posix().replace("/", "_")
        assert path.read_text().replace(versions.VLLM, "VLLM_VERSION") == snapshot(name=name)
