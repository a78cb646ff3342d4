"""Tree attention in plain torch, on any device: fast on a CPU.

No mask over the whole tree is built and no key is copied: nodes stand in depth-first order, so all that is below a segment follows it,
and a segment's keys meet the queries of its whole subtree in one product. One softmax over each node's path joins these parts, which is
the plain rows' attention exactly. The backward pass is written out by hand, because slices under autograd would write a gradient of the
whole tree's size for every segment.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from tree import subtree_ends


@dataclass(frozen=True)
class Block:
    """The keys of one segment and the queries that see them."""

    keys: slice
    """Nodes of the segment."""
    queries: slice
    """Nodes of its subtree, the segment's own first."""
    ahead: torch.Tensor
    """True where a node of the segment would see a later one [length, 1, length]."""


@dataclass(frozen=True)
class Layout:
    """A tree as the blocks of its segments."""

    blocks: tuple[Block, ...]

    @classmethod
    def of(cls, segments: Sequence[Any], device: torch.device) -> Layout:
        """`segments` as in `tree.Tree.segments`."""
        return cls(
            tuple(
                Block(
                    slice(segment.start, segment.start + segment.length),
                    slice(segment.start, end),
                    torch.ones(segment.length, segment.length, dtype=torch.bool, device=device).triu(1)[:, None],
                )
                for segment, end in zip(segments, subtree_ends(segments), strict=True)
            )
        )

    def attend(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scaling: float) -> torch.Tensor:
        """query [1, heads, nodes, width], key and value [1, key heads, nodes, width] → [1, nodes, heads, width]."""
        return by_key_heads(TreeAttention, query, key, value, self.blocks, scaling)


def by_key_heads(
    attention: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, tree: Any, scaling: float
) -> torch.Tensor:
    """`attention` takes queries grouped by the key head they share, as `TreeAttention` does; shapes as in `Layout.attend`."""
    grouped = query[0].unflatten(0, (key.shape[1], -1)).transpose(1, 2).contiguous()
    out: torch.Tensor = attention.apply(grouped, key[0].contiguous(), value[0].contiguous(), tree, scaling)
    return out.transpose(0, 1).flatten(1, 2)[None]


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
