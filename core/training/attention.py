"""Attention over a token tree: each node looks at its path to the root and at itself, so a shared prefix is computed once.

Registered with transformers as an attention function; how it is computed depends on what the machine has.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import attention_blocks
import attention_flash
import attention_flex
import attention_fused
import torch

NAME = "calmtune_tree"


class Layout(Protocol):
    """A tree, laid out for one way of computing."""

    def attend(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scaling: float) -> torch.Tensor:
        """query [1, heads, nodes, width], key and value [1, key heads, nodes, width] → [1, nodes, heads, width]."""


MakeLayout = Callable[[Sequence[Any], torch.device], Layout]
"""Segments of a tree (`tree.Tree.segments`) and a device → its layout."""

WAYS: dict[str, MakeLayout] = {
    "flash": attention_flash.Layout.of,
    "flex": attention_flex.Layout.of,
    "fused": attention_fused.Layout.of,
    "blocks": attention_blocks.Layout.of,
}


def choose_way(asked: str, device: torch.device) -> tuple[str, str]:
    """(name of a way, reason): the one asked for, or the fastest that this machine has. Raises ValueError for one it cannot take."""
    missing = {
        "flash": attention_flash.missing(device),
        "flex": attention_flex.missing(device),
        "fused": attention_fused.missing(device),
        "blocks": None,
    }
    if asked != "auto":
        if asked not in WAYS:
            raise ValueError(f"{asked!r} is no way to compute attention; take one of auto, {', '.join(WAYS)}")
        if missing[asked]:
            raise ValueError(f"attention cannot be computed by {asked} here: {missing[asked]}")
        return asked, "as asked"
    way = next(name for name in WAYS if missing[name] is None)
    return way, "; ".join(f"no {name}: {why}" for name, why in missing.items() if why) or "the fastest"


def tree_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    tree_layout: Layout | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Attention of one layer. query [1, heads, nodes, width], key and value [1, key heads, nodes, width] → [1, nodes, heads, width].

    Raises ValueError without a layout or with dropout, which would give branches of one prefix different noise.
    """
    if tree_layout is None or dropout:
        raise ValueError("tree attention needs `tree_layout` and no dropout")
    # With float32 weights under autocast, rotation leaves queries and keys in float32; torch's own attention casts them too.
    query, key = query.to(value.dtype), key.to(value.dtype)
    return tree_layout.attend(query, key, value, scaling or query.shape[-1] ** -0.5), None


def register() -> None:
    """Make the function known to transformers under NAME; it builds no mask of its own."""
    from transformers import AttentionInterface
    from transformers.masking_utils import AttentionMaskInterface

    AttentionInterface.register(NAME, tree_attention)
    AttentionMaskInterface.register(NAME, lambda *args, **kwargs: None)
