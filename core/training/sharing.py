"""Which models may learn from rows folded into a tree. Standard library only: it also lies beside the training program.

A tree is exact where each token sees its whole path and nothing else. Layers that carry a state from token to token, that count an
attention sink, or that look back less far than a row is long, would mix the branches of a tree or lose its root.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

FULL = frozenset({"full_attention", "attention", "full"})
"""Names of layers (`layer_types`) whose tokens see all that came before them."""
SLIDING = frozenset({"sliding_attention", "sliding_window", "local_attention", "chunked_attention"})
RECURRENT = (
    "mamba", "rwkv", "recurrent_gemma", "qwen3_next", "qwen3_5", "granitemoehybrid", "lfm2", "nemotron_h", "falcon_h1", "falcon_mamba",
    "jamba", "bamba", "zamba", "minimax", "kimi_linear", "olmo_hybrid",
)  # fmt: skip
"""Beginnings of `model_type` of models with linear attention or recurrence; where `layer_types` is given, it decides instead."""
SINKS = ("gpt_oss",)


def text_config(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The part of a config.json that describes the language model; models that also see or hear keep it one level down."""
    inner = config.get("text_config")
    return inner if isinstance(inner, Mapping) else config


def can_share(config: Mapping[str, Any], longest_row: int) -> str | None:
    """Why a model must not learn from shared prefixes, as a sentence; None when it may.

    `config` is its config.json, `longest_row` the tokens of the longest row.
    """
    outer, config = str(config.get("model_type", "")), text_config(config)
    kind = str(config.get("model_type") or outer)
    if kind.startswith(SINKS) or outer.startswith(SINKS):
        return f"{kind} has attention sinks, which shared prefixes would count once instead of once a row"
    layers = config.get("layer_types") or config.get("layers_block_type") or ()
    strange = sorted({str(layer) for layer in layers} - FULL - SLIDING)
    if strange or (not layers and (kind.startswith(RECURRENT) or outer.startswith(RECURRENT))):
        what = f"layers of linear attention or recurrence ({', '.join(strange)})" if strange else "linear attention"
        return f"{kind} has {what}, whose state would run from one row into the next"
    window = _window(config, kind, layers)
    if window is not None and window < longest_row:
        return (
            f"{kind} looks back {window:,} tokens in some layers and the longest row has {longest_row:,}; "
            "rows are laid side by side"
        )
    return None


def attention_kind(config: Mapping[str, Any]) -> str:
    """full, sliding or hybrid, for a list of models."""
    inner = text_config(config)
    kind = str(inner.get("model_type") or config.get("model_type", ""))
    layers = inner.get("layer_types") or inner.get("layers_block_type") or ()
    if can_share(config, 0) is not None:
        return "hybrid"
    return "full" if _window(inner, kind, layers) is None else "sliding"


def _window(config: Mapping[str, Any], kind: str, layers: Any) -> int | None:
    """Tokens that the shortest-sighted layer sees; None when all see everything."""
    window = config.get("sliding_window") or config.get("attention_chunk_size")
    if not isinstance(window, int) or config.get("use_sliding_window") is False:
        return None
    if kind.startswith("qwen") and not layers and not config.get("use_sliding_window"):
        return None  # their configs name a window that is switched off unless it says otherwise
    if layers and not any(str(layer) in SLIDING for layer in layers):
        return None
    context = config.get("max_position_embeddings")
    return None if isinstance(context, int) and window >= context else window
