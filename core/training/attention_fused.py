"""Tree attention by torch's fused CPU kernel, which never writes scores to memory.

Each segment attends to itself under a causal mask, segments of about the same length in one call; and as in `attention_blocks`, the keys
of a segment that forks meet the queries of all below it at once. The kernel gives each part's outcome with the logarithm of its softmax's
sum; parts are joined by these sums. Given the joined outcome and sum, the kernel's own backward pass yields each part's share of the
gradient exactly (as in ring attention, Liu et al. 2023).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from attention_blocks import by_key_heads
from tree import subtree_ends

_UNSEEN = 1e30
"""A softmax's sum for rows that only fill a group up: their weights become 0."""


def missing(device: torch.device) -> str | None:
    """Why this way cannot be taken on a device; None when it can."""
    if device.type != "cpu":
        return "it needs a CPU"
    return None if hasattr(torch.ops.aten, "_scaled_dot_product_flash_attention_for_cpu") else "this torch has no kernel for it"


@dataclass(frozen=True)
class Own:
    """Segments of about the same length, each of which meets itself: for the kernel [key heads x segments, group, length, width]."""

    padded: torch.Tensor
    """Nodes of each segment, its first one again behind its end [segments, length]."""
    valid: torch.Tensor
    """Where `padded` is no filling [segments, length]."""
    nodes: torch.Tensor
    """The nodes themselves, one segment after the other [nodes]."""
    causal = True

    @classmethod
    def of(cls, segments: Sequence[Any]) -> Own:
        length = max(segment.length for segment in segments)
        starts, lengths = (torch.tensor([getattr(one, name) for one in segments])[:, None] for name in ("start", "length"))
        offsets = torch.arange(length)[None]
        valid = offsets < lengths
        padded = starts + offsets * valid
        return cls(padded, valid, padded[valid])

    def rows(self, tensor: torch.Tensor) -> torch.Tensor:
        """[key heads, nodes, group, width] as the kernel's queries."""
        return tensor[:, self.padded].flatten(0, 1).transpose(1, 2)

    def sums(self, total: torch.Tensor) -> torch.Tensor:
        """[key heads, nodes, group, 1] as the kernel's sums, so that filling weighs nothing."""
        found = total[:, self.padded].masked_fill(~self.valid[None, :, :, None, None], _UNSEEN)
        return found.flatten(0, 1).transpose(1, 2)[..., 0]

    def columns(self, tensor: torch.Tensor, group: int) -> torch.Tensor:
        """[key heads, nodes, width] as the kernel's keys or values."""
        return tensor[:, self.padded].flatten(0, 1)[:, None].expand(-1, group, -1, -1)

    def back(self, tensor: torch.Tensor, group: int) -> torch.Tensor:
        """What the kernel gives for `rows`, as [key heads, nodes, group, width] of `nodes`."""
        return tensor.transpose(1, 2).unflatten(0, (-1, len(self.padded)))[:, self.valid]

    def back_columns(self, tensor: torch.Tensor) -> torch.Tensor:
        """What the kernel gives for `columns`, as [key heads, nodes, width] of `nodes`."""
        return tensor.sum(1).unflatten(0, (-1, len(self.padded)))[:, self.valid]


@dataclass(frozen=True)
class Below:
    """All nodes below a segment, which see all of it: for the kernel [key heads, 1, nodes x group, width]."""

    nodes: slice
    keys: slice
    causal = False

    def rows(self, tensor: torch.Tensor) -> torch.Tensor:
        return tensor[:, self.nodes].flatten(1, 2)[:, None]

    def sums(self, total: torch.Tensor) -> torch.Tensor:
        return self.rows(total)[..., 0]

    def columns(self, tensor: torch.Tensor, group: int) -> torch.Tensor:
        return tensor[:, None, self.keys]

    def back(self, tensor: torch.Tensor, group: int) -> torch.Tensor:
        return tensor[:, 0].unflatten(1, (-1, group))


@dataclass(frozen=True)
class Layout:
    """A tree as the parts of its attention."""

    parts: tuple[Own | Below, ...]
    """Every node's own segment first, then what is above it."""

    @classmethod
    def of(cls, segments: Sequence[Any], device: torch.device) -> Layout:
        """`segments` as in `tree.Tree.segments`."""
        alike: defaultdict[int, list[Any]] = defaultdict(list)
        for segment in segments:
            alike[segment.length.bit_length()].append(segment)  # filled up to less than twice their length
        ends = [(one.start, one.start + one.length, end) for one, end in zip(segments, subtree_ends(segments), strict=True)]
        below = (Below(slice(own, end), slice(start, own)) for start, own, end in ends if end > own)
        return cls((*map(Own.of, alike.values()), *below))

    def attend(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scaling: float) -> torch.Tensor:
        """query [1, heads, nodes, width], key and value [1, key heads, nodes, width] → [1, nodes, heads, width]."""
        return by_key_heads(TreeAttention, query, key, value, self, scaling)


class TreeAttention(torch.autograd.Function):  # type: ignore[misc]
    """query [key heads, nodes, group, width], key and value [key heads, nodes, width] → [key heads, nodes, group, width]."""

    @staticmethod
    def forward(
        context: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, layout: Layout, scaling: float
    ) -> torch.Tensor:
        group = query.shape[2]
        out = torch.empty_like(query, dtype=torch.float32)
        total = query.new_empty((*query.shape[:3], 1), dtype=torch.float32)
        for part in layout.parts:
            found, sums = _forward(
                part.rows(query), part.columns(key, group), part.columns(value, group), 0.0, part.causal, scale=scaling
            )
            found, sums = part.back(found, group), part.back(sums[..., None], group)
            if isinstance(part, Own):
                out[:, part.nodes], total[:, part.nodes] = found.float(), sums
            else:
                _join(out[:, part.nodes], total[:, part.nodes], found, sums)
        joined = out.to(query.dtype)
        context.save_for_backward(query, key, value, joined, total)
        context.layout, context.scaling = layout, scaling
        return joined

    @staticmethod
    def backward(context: Any, grad: torch.Tensor) -> tuple[Any, ...]:
        # In float32 throughout: the kernel's backward pass is no quicker in bfloat16, and much slower on short segments.
        query, key, value, joined, total = (saved.float() for saved in context.saved_tensors)
        group, dtype, grad = query.shape[2], grad.dtype, grad.float()
        by_query, by_key, by_value = torch.empty_like(query), torch.empty_like(key), torch.empty_like(value)
        for part in context.layout.parts:
            found = _backward(
                part.rows(grad), part.rows(query), part.columns(key, group), part.columns(value, group), part.rows(joined),
                part.sums(total), 0.0, part.causal, scale=context.scaling,
            )  # fmt: skip
            if isinstance(part, Own):
                by_query[:, part.nodes] = part.back(found[0], group)
                by_key[:, part.nodes], by_value[:, part.nodes] = map(part.back_columns, found[1:])
            else:
                by_query[:, part.nodes] += part.back(found[0], group)
                by_key[:, part.keys] += found[1][:, 0]
                by_value[:, part.keys] += found[2][:, 0]
        return by_query.to(dtype), by_key.to(dtype), by_value.to(dtype), None, None


def _join(out: torch.Tensor, total: torch.Tensor, found: torch.Tensor, sums: torch.Tensor) -> None:
    """Take one part into the joined outcome, weighted by the sums of both."""
    both = torch.logaddexp(total, sums)
    out.mul_((total - both).exp_()).add_(found * (sums - both).exp_())
    total.copy_(both)


def _forward(*tensors: Any, **options: Any) -> Any:
    return torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(*tensors, **options)


def _backward(*tensors: Any, **options: Any) -> Any:
    return torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward(*tensors, **options)
