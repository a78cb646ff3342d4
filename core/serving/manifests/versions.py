"""The versions that files to take away name, pinned here and, for vLLM, in the list that other machines install."""

from __future__ import annotations

from pathlib import Path

_REQUIREMENTS = Path(__file__).parents[1] / "vllm.txt"


def _pinned(package: str, requirements: str) -> str:
    return next(line.split("==")[1].strip() for line in requirements.splitlines() if line.startswith(f"{package}=="))


VLLM = _pinned("vllm", _REQUIREMENTS.read_text(encoding="utf-8"))
REPOSITORY, TAG = "vllm/vllm-openai", f"v{VLLM}"
IMAGE = f"{REPOSITORY}:{TAG}"
COPYING_IMAGE = "busybox:1.37.0"
"""Has `tar`, which `kubectl cp` needs, and `sha256sum`."""
PRODUCTION_STACK = "0.1.7"
"""Helm chart vllm-stack; the values are written for it."""
KSERVE = "0.16"
"""The first that knows deployment mode Standard and autoscaler class none by these names."""
