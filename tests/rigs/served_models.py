"""Models as the deployment step describes them: one with fixed paths for pictures, and real folders for programs that look."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from core.serving.adapter import Adapter
from core.serving.gpu_memory import Footprint
from core.serving.manifests.flags import Flags
from core.serving.manifests.served import Folder, Served, describe

SUM = "0123456789abcdef" * 4
LARGE = {"model_type": "qwen3", "max_position_embeddings": 40960, "dtype": "bfloat16"}


def whole(name: str = "tuned", gigabytes: float = 16.4, gpus: int = 1, replicas: int = 1) -> Served:
    """A merged model, of 8 billion parameters unless its weights take more or less."""
    folder = Folder("model", Path("/home/ann/model"), f"/models/{name}/model", {"model.safetensors": SUM})
    return Served(name, (folder,), None, flags(gigabytes, gpus), round(gigabytes * 1e9), replicas)


def adapter(base: Path | None = None, name: str = "tuned") -> Served:
    """An adapter whose base model lies in a folder, or comes from the hub."""
    model = Folder("model", Path("/home/ann/adapter"), f"/models/{name}/model", {"adapter_model.safetensors": SUM})
    below = Folder("base", base, f"/models/{name}/base", {"model-00001-of-00002.safetensors": SUM})
    of = "Qwen/Qwen3-8B" if base is None else str(base)
    return Served(name, (model, below), Adapter(of, 24), flags(16.4, 1), 16_500_000_000)


def flags(gigabytes: float, gpus: int) -> Flags:
    parallel = ("--tensor-parallel-size", str(gpus)) if gpus > 1 else ()
    arguments = ("--dtype", "auto", "--max-model-len", "4096", "--enable-prefix-caching", *parallel)
    weights = round(gigabytes * 1e9)
    return Flags(arguments, weights, gpus, Footprint(weights, 600_000_000, 32).smallest_gpu(gpus))


def made(folder: Path, name: str = "tuned", replicas: int = 1, **config: object) -> Served:
    """A model on the disk, whole, with a manifest that is true."""
    model = folder / "model, tuned & $HOME's"
    model.mkdir(parents=True)
    (model / "config.json").write_text(json.dumps({**LARGE, **config}))
    (model / "model.safetensors").write_bytes(b"weights" * 1000)
    return describe(model, name, {"files": sums(model)}, replicas)


def made_adapter(folder: Path, base: str, name: str = "tuned") -> Served:
    """An adapter on the disk that knows the weights of its base model, which is a folder or a name on the hub."""
    model = folder / "adapter"
    model.mkdir(parents=True)
    (model / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": base, "r": 16}))
    (model / "adapter_model.safetensors").write_bytes(b"adapter")
    known = sums(Path(base)) if Path(base).is_dir() else {"model.safetensors": SUM}
    (model / "base_model.json").write_text(json.dumps({"name": base, "files": {"config.json": SUM, **known}}))
    return describe(model, name, {"files": sums(model)})


def sums(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}
