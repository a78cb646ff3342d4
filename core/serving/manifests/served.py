"""What is served, as all files to take away describe it."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any

from core.serving.adapter import Adapter, adapter_in, vllm_model
from core.serving.manifests.flags import Flags, flags_for

PORT = 8000
GIB = 1 << 30
_MOST = 4
"""Times as many servers as without load."""
_LONGEST = 50
"""Characters of a resource's name; Kubernetes allows 63, some of which its controllers and these files append."""


@dataclass(frozen=True)
class Folder:
    """A folder that a server needs."""

    role: str
    """model (whole, or an adapter) or base (an adapter's base model)."""
    here: Path | None
    """On this machine; None where the owner named a model on the hub."""
    place: str
    """In a container."""
    checksums: Mapping[str, str]
    """Path within it → SHA-256; empty where they are not known."""

    @property
    def sums_file(self) -> str:
        """Name of the file with its checksums."""
        return f"{self.role}.sha256"

    @property
    def sums(self) -> str:
        """The checksums as `sha256sum --check` reads them."""
        return "".join(f"{sum}  {path}\n" for path, sum in sorted(self.checksums.items()))


@dataclass(frozen=True)
class Served:
    """A model for a machine of which nothing is known but that it has NVIDIA GPUs."""

    name: str
    """By which requests ask for it."""
    folders: tuple[Folder, ...]
    """The model's, then its base model's if it is an adapter."""
    adapter: Adapter | None
    flags: Flags
    disk: int
    """Bytes of all files."""
    replicas: int = 1
    """Servers, where a cluster runs them."""
    most_replicas: int = 0
    """Where they follow the load; 0 for four times as many as without load."""
    requests_per_second: float = 4.0
    """Of which one server is thought to be capable; more start above it, and end below."""

    @property
    def most(self) -> int:
        """Servers under load."""
        return self.most_replicas or _MOST * self.replicas

    @property
    def resource(self) -> str:
        """Its name as an RFC 1123 label that begins with a letter; different for different models, as far as six digits can tell."""
        plain = re.sub(r"[^a-z0-9]+", "-", self.name.lower()).strip("-")
        whole = f"calmtune-{plain}"
        if plain == self.name and len(whole) <= _LONGEST:
            return whole
        return f"{whole[: _LONGEST - 7].rstrip('-')}-{hashlib.sha256(self.name.encode()).hexdigest()[:6]}"

    @property
    def model_arguments(self) -> tuple[str, ...]:
        """The model for `vllm serve`: first the folder that is loaded, then how it is called."""
        return vllm_model(self.folders[0].place, self.name, self.adapter, self.folders[-1].place)

    @property
    def arguments(self) -> tuple[str, ...]:
        """All of `vllm serve`."""
        return (*self.model_arguments, "--host", "0.0.0.0", "--port", str(PORT), *self.flags.arguments)

    @property
    def hub_base(self) -> str:
        """The base model's name where it is to be downloaded; "" elsewhere."""
        return self.adapter.base if self.adapter is not None and self.folders[-1].here is None else ""

    @property
    def gpu_gb(self) -> int:
        """Memory of each GPU."""
        return ceil(self.flags.gpu_memory / 1e9)

    @property
    def memory_gib(self) -> int:
        """Main memory of a server: room to load weights, and what vLLM itself takes."""
        return max(16, ceil(self.flags.weights / GIB) + 8)

    @property
    def volume_gib(self) -> int:
        """A volume for the files, and for those of a later version beside them."""
        return max(10, ceil(2 * self.disk / GIB))


def describe(
    model: Path, name: str, manifest: Mapping[str, Any], replicas: int = 1, most_replicas: int = 0, requests_per_second: float = 4.0
) -> Served:
    """What is served, read from the model's folder and manifest. Raises StepFailed when an adapter there cannot be understood."""
    adapter = adapter_in(model)
    flags = flags_for(model, adapter, int(manifest.get("longest_row") or 0))
    folders = [Folder("model", model, f"/models/{name}/model", manifest["files"])]
    disk = sum(path.stat().st_size for path in model.rglob("*") if path.is_file())
    if adapter is not None:
        own = Path(adapter.base).expanduser()
        here = own.absolute() if own.is_dir() else None
        folders.append(Folder("base", here, f"/models/{name}/base", _weights_checksums(adapter)))
        disk += flags.weights
    return Served(name, tuple(folders), adapter, flags, disk, replicas, most_replicas, requests_per_second)


def _weights_checksums(adapter: Adapter) -> Mapping[str, str]:
    """Of the base model's weights alone: its configuration is edited now and then, which changes no weight."""
    if adapter.like is None:
        return {}
    files: dict[str, str] = json.loads(adapter.like.read_text(encoding="utf-8"))["files"]
    return {name: sum for name, sum in files.items() if name.endswith(".safetensors")}
