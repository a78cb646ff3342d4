"""The places where jobs can run from here."""

from __future__ import annotations

from pathlib import Path

from provisioning.local import LocalTarget
from provisioning.target import Target


def targets(root: Path) -> dict[str, Target]:
    """Targets by name; `root` is the folder in which local jobs live."""
    return {"local": LocalTarget(root)}
