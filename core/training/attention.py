"""Attention over a token tree: each segment looks at its path to the root and at itself, so a shared prefix is computed once.

Registered with transformers as an attention function. No mask over the whole tree is built: the root attends once, causally; every other
segment attends to the keys and values gathered along its path. That is the plain rows' attention exactly, at the cost of the tree's tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F

NAME = "calmtune_tree"


@dataclass(frozen=True)
class Layout:
    """Where segments stand and what each may see, as tensors."""

    slices: tuple[tuple[int, int], ...]
    """(start, end) node of each segment, in order of the nodes."""
    paths: tuple[torch.Tensor | None, ...]
    """Nodes above each segment, root first [path]; None for roots."""
    masks: tuple[torch.Tensor | None, ...]
    """True where a segment's node may look [length, path + length]; None for roots."""


def layout(segments: Any, device: torch.device | str) -> Layout:
    """Tensors of a tree's segments (`tree.Tree.segments`)."""
    paths: list[torch.Tensor | None] = []
    masks: list[torch.Tensor | None] = []
    for segment in segments:
        if not segment.path:
            paths.append(None)
            masks.append(None)
            continue
        above = [torch.arange(segments[i].start, segments[i].start + segments[i].length) for i in segment.path]
        own = torch.arange(segment.start, segment.start + segment.length)
        paths.append(torch.cat([*above, own]).to(device))
        length, whole = segment.length, len(paths[-1])  # type: ignore[arg-type]
        masks.append(torch.ones(length, whole, dtype=torch.bool, device=device).tril(whole - length))
    slices = tuple((segment.start, segment.start + segment.length) for segment in segments)
    return Layout(slices, tuple(paths), tuple(masks))


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
    attend = _attend_by_products if query.device.type == "cpu" else _attend
    parts = []
    for (start, end), path, mask in zip(tree_layout.slices, tree_layout.paths, tree_layout.masks, strict=True):
        own = query[:, :, start:end]
        if path is None or mask is None:
            parts.append(_attend(own, key[:, :, start:end], value[:, :, start:end], None, scaling))
        else:
            parts.append(attend(own, key.index_select(2, path), value.index_select(2, path), mask, scaling))
    return torch.cat(parts, dim=2).transpose(1, 2).contiguous(), None


def _attend(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor | None, scaling: float | None
) -> torch.Tensor:
    """One segment by torch's own kernel; causal within itself when there is no mask."""
    grouped = query.shape[1] != key.shape[1]
    return F.scaled_dot_product_attention(
        query, key, value, attn_mask=mask, is_causal=mask is None, scale=scaling, enable_gqa=grouped
    )


def _attend_by_products(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor, scaling: float | None
) -> torch.Tensor:
    """The same by matrix products: for short segments on a CPU the kernel's backward pass is several times slower."""
    heads, length, width = query.shape[1:]
    key_heads, whole = key.shape[1], key.shape[2]
    folded = query[0].reshape(key_heads, -1, width)  # [key heads, heads of the group * length, width]
    scores = torch.bmm(folded, key[0].transpose(1, 2)).view(-1, length, whole).float()
    scores = (scores * (scaling or width**-0.5)).masked_fill(~mask, float("-inf"))
    weights = torch.softmax(scores, -1).to(value.dtype).view(key_heads, -1, whole)
    return torch.bmm(weights, value[0]).view(1, heads, length, width)


def register() -> None:
    """Make the function known to transformers under NAME; it builds no mask of its own."""
    from transformers import AttentionInterface
    from transformers.masking_utils import AttentionMaskInterface

    AttentionInterface.register(NAME, tree_attention)
    AttentionMaskInterface.register(NAME, lambda *args, **kwargs: None)
