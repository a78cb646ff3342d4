"""Tree attention by torch's FlexAttention, which skips blocks of the mask that are empty.

Nodes stand in depth-first order, so a node sees another one exactly when it follows it and lies before the end of its subtree.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch.nn.attention.flex_attention import BlockMask, create_block_mask, flex_attention
from tree import subtree_ends


@dataclass(frozen=True)
class Layout:
    """A tree as a mask of blocks."""

    mask: BlockMask

    @classmethod
    def of(cls, segments: Sequence[Any], device: torch.device) -> Layout:
        """`segments` as in `tree.Tree.segments`."""
        lengths = torch.tensor([segment.length for segment in segments], device=device)
        ends = torch.tensor(subtree_ends(segments), device=device).repeat_interleave(lengths)

        def sees(batch: Any, head: Any, query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
            return (key <= query) & (query < ends[key])

        return cls(create_block_mask(sees, None, None, len(ends), len(ends), device=device))

    def attend(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scaling: float) -> torch.Tensor:
        """query [1, heads, nodes, width], key and value [1, key heads, nodes, width] → [1, nodes, heads, width]."""
        attend = _compiled() if query.is_cuda else flex_attention
        out = attend(query, key, value, block_mask=self.mask, scale=scaling, enable_gqa=query.shape[1] != key.shape[1])
        return out.transpose(1, 2)


@cache
def _compiled() -> Any:
    """Uncompiled it would build the whole mask; `dynamic`, because each step's tree has another size."""
    return torch.compile(flex_attention, dynamic=True)


def missing(device: torch.device) -> str | None:
    """Why it cannot be used, None when it can. Without a compiler it is slow on a CPU, but right."""
    if device.type != "cuda":
        return "it is made for GPUs"
    return None
