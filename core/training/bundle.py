"""A trained model on disk, with the checksum of every file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.errors import StepFailed
from core.training.checksums import checksum

PREDICTIONS = "predictions.jsonl"
"""What the trained model wrote for validation rows, one JSON object a line: row (its line among them), test (or null), turn (if
the row has it), message (the end of its prompt), expected, predicted."""


MANIFEST = "manifest.json"
FOLDERS: Mapping[str, str] = {"merged": "model", "adapter": "adapter"}
"""Kind of artifact → its folder in that of the run."""


@dataclass(frozen=True)
class ModelArtifact:
    """A trained model and its manifest: merged, or an adapter for its base model."""

    folder: Path
    manifest: Path

    def read_manifest(self) -> dict[str, Any]:
        """Raises StepFailed when it is damaged."""
        try:
            body: dict[str, Any] = json.loads(self.manifest.read_text(encoding="utf-8"))
        except ValueError as error:
            raise StepFailed(f"{self.manifest} is damaged ({error}); train again") from error
        return body

    @classmethod
    def in_folder(cls, folder: Path) -> ModelArtifact:
        """The artifact a training run left in its folder. Raises OSError or ValueError when its manifest cannot be read."""
        manifest = folder / MANIFEST
        kind = json.loads(manifest.read_text(encoding="utf-8"))["artifact"]
        return cls(folder / FOLDERS[kind], manifest)

    @property
    def longest_row(self) -> int:
        """Tokens of the longest row it learnt from, chat template and all; 0 where the manifest does not say."""
        return int(self.read_manifest().get("longest_row") or 0)

    @property
    def digest(self) -> str:
        """One checksum for all files."""
        files = self.read_manifest()["files"]
        return hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()

    def verify(self) -> None:
        """Compare every file with the manifest. Raises StepFailed naming the first that differs or is missing."""
        for name, expected in self.read_manifest()["files"].items():
            path = self.folder / name
            if not path.is_file():
                raise StepFailed(f"the model in {self.folder} lacks {name}; train again")
            if checksum(path) != expected:
                raise StepFailed(f"{path} is not the file that was trained (its checksum differs); train again")


def training_program() -> dict[str, Path]:
    """The files a training job needs beside its configuration and rows: path in the job's folder → file here.

    What judges curves is needed here and there, so it goes along as the part of the package `core` that it is.
    """
    here = Path(__file__).parent
    names = (
        "program", "loading", "trainer", "self_check", "sharded", "sharing", "rows", "tree", "retry", "out_of_memory",
        "attention", "attention_blocks", "attention_flash", "attention_flex", "attention_fused",
        "precision", "report", "across_nodes", "checkpoints", "resume", "early_stop", "checksums", "weights", "saving", "reload_check",
        "predictions",
    )  # fmt: skip
    judging = [f"core/training/{name}.py" for name in ("__init__", "metrics", "trend", "diagnosis")]
    return {f"{name}.py": here / f"{name}.py" for name in names} | {
        name: here.parents[1] / name for name in ("core/__init__.py", *judging)
    }


def training_requirements() -> Path:
    """What the training program needs installed, pinned."""
    return Path(__file__).parent / "requirements.txt"


def quantising_program() -> dict[str, Path]:
    """The files a quantising job needs beside its configuration, rows and model: path in the job's folder → file here."""
    here = Path(__file__).parent
    return {f"{name}.py": here / f"{name}.py" for name in ("quantise", "rows", "tree", "report", "checksums")}


def quantising_requirements() -> Path:
    """What the quantising program needs installed, pinned."""
    return Path(__file__).parent / "quantising.txt"
