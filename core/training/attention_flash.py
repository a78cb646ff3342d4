"""Tree attention by FlashAttention's kernels for rows of different lengths (FA2 from version 2.1 on, FA3 on Hopper GPUs).

Each segment is a block of queries, and its keys and values are gathered along its path to the root. The kernel aligns a block's causal
mask to the lower right corner, so that a segment sees all above it and itself up to each node.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate
from typing import Any

import torch

HOPPER = 9
"""Major compute capability from which FA3 has kernels."""


@dataclass(frozen=True)
class Layout:
    """A tree as rows of different lengths."""

    seen: torch.Tensor
    """Nodes each segment sees, one segment after the other [keys]."""
    query_ends: torch.Tensor
    """Where each segment's queries end, from 0 on [segments + 1], int32."""
    key_ends: torch.Tensor
    """Where what each segment sees ends in `seen`, from 0 on [segments + 1], int32."""
    longest_query: int
    longest_key: int

    @classmethod
    def of(cls, segments: Sequence[Any], device: torch.device) -> Layout:
        """`segments` as in `tree.Tree.segments`."""
        nodes = [torch.arange(segment.start, segment.start + segment.length) for segment in segments]
        seen = [
            torch.cat([*(nodes[above] for above in segment.path), own])
            for segment, own in zip(segments, nodes, strict=True)
        ]
        return cls(
            torch.cat(seen).to(device),
            _ends(map(len, nodes), device),
            _ends(map(len, seen), device),
            max(map(len, nodes)),
            max(map(len, seen)),
        )

    def attend(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scaling: float) -> torch.Tensor:
        """query [1, heads, nodes, width], key and value [1, key heads, nodes, width] → [1, nodes, heads, width]."""
        out = kernel()(
            query[0].transpose(0, 1),
            key[0].transpose(0, 1).index_select(0, self.seen),
            value[0].transpose(0, 1).index_select(0, self.seen),
            cu_seqlens_q=self.query_ends,
            cu_seqlens_k=self.key_ends,
            max_seqlen_q=self.longest_query,
            max_seqlen_k=self.longest_key,
            softmax_scale=scaling,
            causal=True,
        )
        return (out[0] if isinstance(out, tuple) else out)[None]  # FA3 gives the softmax's normaliser too


@cache
def kernel() -> Any:
    """flash_attn_varlen_func of what is installed for this GPU. Raises ImportError when nothing is."""
    if torch.cuda.is_available() and torch.cuda.get_device_capability()[0] == HOPPER:
        try:
            from flash_attn_interface import flash_attn_varlen_func
        except ImportError:
            pass
        else:
            return flash_attn_varlen_func
    from flash_attn import flash_attn_varlen_func

    return flash_attn_varlen_func


def missing(device: torch.device) -> str | None:
    """Why it cannot be used, None when it can."""
    if device.type != "cuda":
        return "it needs a GPU"
    if torch.cuda.get_device_capability(device)[0] < 8:
        return "it needs a GPU of the Ampere generation or newer"
    try:
        kernel()
    except ImportError:
        return "flash-attn is not installed"
    return None


def _ends(lengths: Any, device: torch.device) -> torch.Tensor:
    return torch.tensor([0, *accumulate(lengths)], dtype=torch.int32, device=device)
