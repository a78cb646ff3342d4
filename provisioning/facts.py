"""What a machine has, as plain numbers and names. Standard library only: it also runs on the other machine."""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_QUERY = ["nvidia-smi", "--query-gpu=name,memory.total,driver_version,compute_cap,memory.free", "--format=csv,noheader,nounits"]


@dataclass(frozen=True)
class Facts:
    """What a machine says it has."""

    system: str
    """Kernel and processor: "Linux x86_64"."""
    python: Sequence[int]
    venv: bool
    """Whether python3 can make virtual environments."""
    uv: str | None
    vllm: str | None
    """Paths of the programs, None where they are not installed."""
    cores: int
    memory: int
    disk_free: int
    """Bytes."""
    gpus: Sequence[dict[str, Any]]
    cuda: str | None
    """Highest CUDA version of the driver."""


def facts(folder: Path) -> dict[str, Any]:
    """What `Facts` is made of, JSON-ready. `folder` is where jobs will live (it need not exist yet)."""
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "python": list(sys.version_info[:3]),
        "venv": importlib.util.find_spec("ensurepip") is not None,
        "uv": find_program("uv"),
        "vllm": find_program("vllm"),
        "cores": os.cpu_count() or 1,
        "memory": _memory(),
        "disk_free": disk_free(folder),
        "gpus": gpus(),
        "cuda": _cuda(),
    }


def gpus() -> list[dict[str, Any]]:
    """The GPUs here, by nvidia-smi: {"name", "memory" in bytes, "driver", "compute" capability, "free" in bytes}."""
    found = []
    for line in _output(_QUERY).splitlines():
        name, memory, driver, compute, free = ([part.strip() for part in line.split(",")] + [""] * 5)[:5]
        if name and memory:
            sizes = {"memory": _bytes(memory), "free": _bytes(free)}
            found.append({"name": name, "driver": driver, "compute": compute, **sizes})
    return found


def _bytes(mebibytes: str) -> int:
    """0 where GPUs share the machine's memory and say [N/A]."""
    return int(mebibytes) << 20 if mebibytes.isdigit() else 0


def find_program(name: str) -> str | None:
    """A program on PATH or where pip and uv put programs of the user."""
    return shutil.which(name) or shutil.which(name, path=os.path.expanduser("~/.local/bin"))


def _cuda() -> str | None:
    """The highest CUDA version the driver can run, as nvidia-smi's heading tells."""
    found = re.search(r"CUDA Version:\s*([\d.]+)", _output(["nvidia-smi"]))
    return found.group(1) if found else None


def _output(command: list[str]) -> str:
    if shutil.which(command[0]) is None:
        return ""
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.decode(errors="replace") if done.returncode == 0 else ""


def _memory() -> int:
    """Bytes of memory in all; 0 where the system does not tell."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return 0


def disk_free(path: Path) -> int:
    """Bytes left where a path is or would be."""
    while not path.exists():
        path = path.parent
    return shutil.disk_usage(path).free
