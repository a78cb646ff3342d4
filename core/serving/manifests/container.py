"""What every container of vLLM gets, whoever starts it: no root, nothing writable but /tmp, nothing fetched of its own accord."""

from __future__ import annotations

from collections.abc import Mapping

from core.serving.manifests.served import PORT, Served

KEY = "VLLM_API_KEY"
"""Environment variable from which vLLM takes the key that requests must show."""
USER = 1000
SHARED_MEMORY_GIB = 8
"""For /dev/shm, through which vLLM's processes talk."""
ENVIRONMENT: Mapping[str, str] = {
    "HF_HUB_OFFLINE": "1",
    "HOME": "/tmp",  # compiled kernels are kept below it
    "USER": "vllm",  # torch asks for a name, and the number has none in the image
    "VLLM_NO_USAGE_STATS": "1",
}
HEALTH = "/health"
"""Answers without the key."""
HEALTH_PROGRAM = f"import urllib.request; urllib.request.urlopen('http://127.0.0.1:{PORT}{HEALTH}', timeout=5)"
START_MINUTES = 30
"""A server that is not healthy by then is started again: weights may come from slow disks."""


def checking_command(served: Served, sums: str) -> str:
    """For `sh -c`: compares all folders with the checksums in the folder `sums`."""
    checks = [
        f"cd {folder.place} && sha256sum --check --quiet {sums}/{folder.sums_file}"
        for folder in served.folders
        if folder.checksums
    ]
    return " && ".join(checks)
