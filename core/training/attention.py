"""Attention over a token tree: each segment looks at its path to the root and at itself, so a shared prefix is computed once.

Registered with transformers as an attention function. No mask over the whole tree is built and no key is copied: nodes stand in
depth-first order, so all that is below a segment follows it, and a segment's keys meet the queries of its whole subtree in one product.
One softmax over each node's path joins these parts, which is the plain rows' attention exactly. The backward pass is written out by hand,
because slices under autograd would write a gradient of the whole tree's size for every segment.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

NAME = "calmtune_tree"


@dataclass(frozen=True)
class Block:
    """The keys of one segment and the queries that see them."""

    keys: slice
    """Nodes of the segment."""
    queries: slice
    """Nodes of its subtree, the segment's own first."""
    ahead: torch.Tensor
    """True where a node of the segment would see a later one [length, 1, length]."""


def layout(segments: Sequence[Any], device: torch.device | str) -> tuple[Block, ...]:
    """Blocks of a tree's segments (`tree.Tree.segments`)."""
    ends = [segment.start + segment.length for segment in segments]
    last = list(ends)
    for index, segment in enumerate(segments):
        for above in segment.path:
            last[above] = ends[index]
    return tuple(
        Block(
            slice(segment.start, ends[index]),
            slice(segment.start, last[index]),
            torch.ones(segment.length, segment.length, dtype=torch.bool, device=device).triu(1)[:, None],
        )
        for index, segment in enumerate(segments)
    )


class TreeAttention(torch.autograd.Function):  # type: ignore[misc]
    """query [key heads, nodes, group, width], key and value [key heads, nodes, width] → [key heads, nodes, group, width]."""

    @staticmethod
    def forward(
        context: Any,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        blocks: tuple[Block, ...],
        scaling: float,
    ) -> torch.Tensor:
        heads, _, group, width = query.shape
        highest = query.new_full((*query.shape[:3], 1), float("-inf"), dtype=torch.float32)
        parts = []
        for block in blocks:
            scores = query[:, block.queries].flatten(1, 2) @ key[:, block.keys].transpose(1, 2)
            part = scores.view(heads, -1, group, scores.shape[-1]).float().mul_(scaling)
            part[:, : part.shape[-1]].masked_fill_(block.ahead, float("-inf"))
            rows = highest[:, block.queries]
            torch.maximum(rows, part.amax(-1, keepdim=True), out=rows)
            parts.append(part)
        total = torch.zeros_like(highest)
        for block, part in zip(blocks, parts, strict=True):
            total[:, block.queries] += part.sub_(highest[:, block.queries]).exp_().sum(-1, keepdim=True)
        out = torch.zeros_like(query, dtype=torch.float32)
        weights = []
        for block, part in zip(blocks, parts, strict=True):
            share = part.div_(total[:, block.queries]).to(value.dtype).flatten(1, 2)
            out[:, block.queries] += (share @ value[:, block.keys]).view(heads, -1, group, width)
            weights.append(share)
        joined = out.to(query.dtype)
        context.save_for_backward(query, key, value, joined, *weights)
        context.blocks, context.scaling = blocks, scaling
        return joined

    @staticmethod
    def backward(context: Any, grad: torch.Tensor) -> tuple[Any, ...]:
        query, key, value, joined, *weights = context.saved_tensors
        heads, _, group, width = query.shape
        grad = grad.contiguous()
        grad_query = torch.zeros_like(query, dtype=torch.float32)
        grad_key, grad_value = torch.empty_like(key), torch.empty_like(value)
        mean = (grad.float() * joined.float()).sum(-1, keepdim=True)
        for block, share in zip(context.blocks, weights, strict=True):
            above = grad[:, block.queries].flatten(1, 2)
            grad_value[:, block.keys] = share.transpose(1, 2) @ above
            by_share = (above @ value[:, block.keys].transpose(1, 2)).float()
            by_score = by_share.sub_(mean[:, block.queries].flatten(1, 2)).mul_(share).mul_(context.scaling)
            by_score = by_score.to(query.dtype)
            grad_key[:, block.keys] = by_score.transpose(1, 2) @ query[:, block.queries].flatten(1, 2)
            grad_query[:, block.queries] += (by_score @ key[:, block.keys]).view(heads, -1, group, width)
        return grad_query.to(query.dtype), grad_key, grad_value, None, None


def tree_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    tree_layout: tuple[Block, ...] | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Attention of one layer. query [1, heads, nodes, width], key and value [1, key heads, nodes, width] → [1, nodes, heads, width].

    Raises ValueError without a layout or with dropout, which would give branches of one prefix different noise.
    """
    if tree_layout is None or dropout:
        raise ValueError("tree attention needs `tree_layout` and no dropout")
    grouped = query[0].unflatten(0, (key.shape[1], -1)).transpose(1, 2).contiguous()
    out = TreeAttention.apply(
        grouped, key[0].contiguous(), value[0].contiguous(), tree_layout, scaling or query.shape[-1] ** -0.5
    )
    return out.transpose(0, 1).flatten(1, 2)[None], None


def register() -> None:
    """Make the function known to transformers under NAME; it builds no mask of its own."""
    from transformers import AttentionInterface
    from transformers.masking_utils import AttentionMaskInterface

    AttentionInterface.register(NAME, tree_attention)
    AttentionMaskInterface.register(NAME, lambda *args, **kwargs: None)
