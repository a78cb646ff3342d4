"""What a base model is made of, from its config.json alone: no weights, no torch."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.training.base_model import cache_folder, kept_folder
from core.training.sharing import text_config

_TIED_UNLESS_SAID = ("gemma", "smollm3", "cohere")
"""Models whose configs leave out that the head is the embedding."""
_NORMS = {"gemma2": 4, "gemma3": 4, "gemma3_text": 4}
"""Norms of a layer where there are not two."""


@dataclass(frozen=True)
class ModelFacts:
    """The shape of a dense transformer; widths in numbers per token."""

    name: str
    layers: int
    hidden: int
    intermediate: int
    """Width of the feed-forward part."""
    heads: int
    key_heads: int
    head_width: int
    vocabulary: int
    tied: bool
    """Whether the head that writes words is the embedding that reads them."""
    context: int
    """Tokens."""
    config: Mapping[str, Any]
    """The config.json it was read from."""

    @property
    def query_width(self) -> int:
        return self.heads * self.head_width

    @property
    def key_width(self) -> int:
        return self.key_heads * self.head_width

    @property
    def head_parameters(self) -> int:
        return self.vocabulary * self.hidden

    @property
    def body_parameters(self) -> int:
        """Weights every token passes through: the layers, without embedding and head."""
        attention = 2 * self.hidden * self.query_width + 2 * self.hidden * self.key_width
        kind = str(text_config(self.config).get("model_type", ""))
        small = _NORMS.get(kind, 2) * self.hidden
        small += 2 * self.head_width if kind.startswith(("qwen3", "gemma3")) else 0
        small += self.query_width + 2 * self.key_width if kind == "qwen2" else 0
        return self.layers * (attention + 3 * self.hidden * self.intermediate + small) + self.hidden

    @property
    def parameters(self) -> int:
        """All weights; a matrix used twice counts once."""
        return self.body_parameters + self.head_parameters * (1 if self.tied else 2)

    def adapter_parameters(self, rank: int) -> int:
        """Weights of a LoRA adapter on all linear layers but the head."""
        attention = 2 * (self.hidden + self.query_width) + 2 * (self.hidden + self.key_width)
        return rank * self.layers * (attention + 3 * (self.hidden + self.intermediate))


def facts_from(name: str, config: Mapping[str, Any]) -> ModelFacts | str:
    """The facts in a config.json, or a sentence why they cannot be read off it."""
    inner = text_config(config)
    kind = str(inner.get("model_type") or config.get("model_type", ""))
    if any(inner.get(key) for key in ("num_experts", "num_local_experts", "n_routed_experts")):
        return f"{name} is a mixture of experts, whose needs are not computed here"
    try:
        hidden, heads = int(inner["hidden_size"]), int(inner["num_attention_heads"])
        return ModelFacts(
            name=name,
            layers=int(inner["num_hidden_layers"]),
            hidden=hidden,
            intermediate=int(inner.get("intermediate_size") or inner["shared_intermediate_size"]),
            heads=heads,
            key_heads=int(inner.get("num_key_value_heads") or heads),
            head_width=int(inner.get("head_dim") or hidden // heads),
            vocabulary=int(inner["vocab_size"]),
            tied=bool(
                inner.get("tie_word_embeddings", config.get("tie_word_embeddings", kind.startswith(_TIED_UNLESS_SAID)))
            ),
            context=int(inner.get("max_position_embeddings") or 0),
            config=config,
        )
    except (KeyError, TypeError, ValueError) as error:
        return f"the config.json of {name} does not say what a plan needs ({error})"


def folder_at_hand(name: str) -> Path | None:
    """Where a base model's config.json already lies: the folder itself, our cache, the hub's cache; None elsewhere. Asks no network."""
    folder = Path(name).expanduser()
    if (folder / "config.json").is_file():
        return folder
    kept = kept_folder(name, cache_folder())
    if (kept / "config.json").is_file():
        return kept
    snapshots = _hub_cache() / f"models--{name.replace('/', '--')}" / "snapshots"
    try:
        found = [path for path in snapshots.iterdir() if (path / "config.json").is_file()]
    except OSError:
        return None
    return max(found, key=lambda path: path.stat().st_mtime) if found else None


def read_config(folder: Path) -> Mapping[str, Any]:
    """The config.json of a folder; empty when it cannot be read."""
    try:
        content = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _hub_cache() -> Path:
    """Where the hub's own client keeps what it downloaded."""
    if given := os.environ.get("HF_HUB_CACHE"):
        return Path(given)
    home = os.environ.get("HF_HOME")
    return (Path(home) if home else Path.home() / ".cache" / "huggingface") / "hub"
