"""A folder with an adapter instead of a whole model: what it needs to be served."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from core.errors import StepFailed
from core.serving import merge_adapter

RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
"""What vLLM takes as --max-lora-rank (https://docs.vllm.ai/en/latest/api/vllm/config/lora.html)."""
MERGED = "merged"
"""Folder that `transformers serve` gets, in the one the server is started in."""
BASE_FILE = "base_model.json"
MERGE_PROGRAM = Path(merge_adapter.__file__)


@dataclass(frozen=True)
class Adapter:
    """What an adapter_config.json says."""

    base: str
    """Name or folder of the base model, as its owner gave it."""
    rank: int
    """The largest of any layer."""
    like: Path | None = None
    """File with the checksums of the base model, where it came with one."""

    @property
    def max_rank(self) -> int:
        """The least rank vLLM can be told that holds this one. Raises StepFailed when none does."""
        if self.rank > RANKS[-1]:
            raise StepFailed(
                f"vLLM serves adapters to rank {RANKS[-1]} and this one has {self.rank}; answer training.artifact: merged"
            )
        return next(rank for rank in RANKS if rank >= self.rank)


def adapter_in(folder: Path) -> Adapter | None:
    """The adapter in a folder; None for a whole model. Raises StepFailed when its configuration cannot be understood."""
    path = folder / "adapter_config.json"
    if not path.is_file():
        return None
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
        rank = max([int(body["r"]), *map(int, (body.get("rank_pattern") or {}).values())])
        like = folder / BASE_FILE
        return Adapter(str(body["base_model_name_or_path"]), rank, like if like.is_file() else None)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StepFailed(f"{path} is no configuration of a LoRA adapter ({type(error).__name__}: {error})") from error


def vllm_model(folder: str, name: str, adapter: Adapter | None, base: str) -> tuple[str, ...]:
    """Arguments of `vllm serve` that say what is served under `name`: the model in `folder`, or the adapter there on its `base`."""
    if adapter is None:
        return (folder, "--served-model-name", name)
    return (base, "--enable-lora", "--max-lora-rank", str(adapter.max_rank), "--lora-modules", f"{name}={folder}")
