"""Tree attention by torch's fused CPU kernel, which never writes scores to memory.

As in `attention_blocks`, a segment's keys meet the queries of its whole subtree at once: its own under a causal mask, those below without
one. The kernel gives each part's outcome with the logarithm of its softmax's sum; parts are joined by these sums. Given the joined outcome
and sum, the kernel's own backward pass yields each part's share of the gradient exactly.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from tree import subtree_ends


def missing(device: torch.device) -> str | None:
    """Why this way cannot be taken on a device; None when it can."""
    if device.type != "cpu":
        return "it needs a CPU"
    return None if hasattr(torch.ops.aten, "_scaled_dot_product_flash_attention_for_cpu") else "this torch has no kernel for it"


@dataclass(frozen=True)
class Span:
    """A segment's nodes, and where its subtree ends."""

    start: int
    below: int
    end: int


@dataclass(frozen=True)
class Layout:
    """A tree as the spans of its segments, in depth-first order."""

    spans: tuple[Span, ...]

    @classmethod
    def of(cls, segments: Sequence[Any], device: torch.device) -> Layout:
        """`segments` as in `tree.Tree.segments`."""
        ends = subtree_ends(segments)
        return cls(
            tuple(Span(one.start, one.start + one.length, end) for one, end in zip(segments, ends, strict=True))
        )

    def attend(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scaling: float) -> torch.Tensor:
        """query [1, heads, nodes, width], key and value [1, key heads, nodes, width] → [1, nodes, heads, width]."""
        grouped = query[0].unflatten(0, (key.shape[1], -1)).transpose(1, 2).contiguous()
        out = TreeAttention.apply(grouped, key[0].contiguous(), value[0].contiguous(), self.spans, scaling)
        return out.transpose(0, 1).flatten(1, 2)[None]


class TreeAttention(torch.autograd.Function):  # type: ignore[misc]
    """query [key heads, nodes, group, width], key and value [key heads, nodes, width] → [key heads, nodes, group, width]."""

    @staticmethod
    def forward(
        context: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, spans: tuple[Span, ...], scaling: float
    ) -> torch.Tensor:
        out = torch.empty_like(query, dtype=torch.float32)
        total = query.new_empty((*query.shape[:3], 1), dtype=torch.float32)
        for part in _parts(spans, query.shape[2]):
            found, sums = _forward(part.rows(query), part.columns(key), part.columns(value), 0.0, part.own, scale=scaling)
            part.join(out, total, found, sums[..., None])
        joined = out.to(query.dtype)
        context.save_for_backward(query, key, value, joined, total)
        context.spans, context.scaling = spans, scaling
        return joined

    @staticmethod
    def backward(context: Any, grad: torch.Tensor) -> tuple[Any, ...]:
        # In float32 throughout: the kernel's backward pass is no quicker in bfloat16, and much slower on short segments.
        query, key, value, joined, total = (saved.float() for saved in context.saved_tensors)
        dtype, grad = grad.dtype, grad.float()
        by_query, by_key, by_value = torch.zeros_like(query), torch.zeros_like(key), torch.zeros_like(value)
        for part in _parts(context.spans, query.shape[2]):
            found = _backward(
                part.rows(grad), part.rows(query), part.columns(key), part.columns(value), part.rows(joined),
                part.rows(total)[..., 0], 0.0, part.own, scale=context.scaling,
            )  # fmt: skip
            by_query[:, part.queries] += part.back(found[0])
            by_key[:, part.keys] += found[1].sum(1)
            by_value[:, part.keys] += found[2].sum(1)
        return by_query.to(dtype), by_key.to(dtype), by_value.to(dtype), None, None


@dataclass(frozen=True)
class Part:
    """Queries that meet keys in one call of the kernel, whose tensors are [batch, heads, rows, width]."""

    queries: slice
    keys: slice
    own: bool
    """A segment with itself, under a causal mask: a query head is a head. Without a mask the queries of a group are just more rows."""
    group: int

    def rows(self, tensor: torch.Tensor) -> torch.Tensor:
        """[key heads, nodes, group, width] as the kernel's queries."""
        part = tensor[:, self.queries]
        return part.transpose(1, 2) if self.own else part.flatten(1, 2)[:, None]

    def columns(self, tensor: torch.Tensor) -> torch.Tensor:
        """[key heads, nodes, width] as the kernel's keys or values."""
        part = tensor[:, None, self.keys]
        return part.expand(-1, self.group, -1, -1) if self.own else part

    def back(self, tensor: torch.Tensor) -> torch.Tensor:
        """What the kernel gives for `rows`, as [key heads, nodes, group, width]."""
        return tensor.transpose(1, 2) if self.own else tensor[:, 0].unflatten(1, (-1, self.group))

    def join(self, out: torch.Tensor, total: torch.Tensor, found: torch.Tensor, sums: torch.Tensor) -> None:
        """Take what was found into the joined outcome, weighted by the sums of both; the first part of a node is its own."""
        found, sums = self.back(found), self.back(sums)
        if self.own:
            out[:, self.queries], total[:, self.queries] = found, sums
            return
        here, before = out[:, self.queries], total[:, self.queries]
        both = torch.logaddexp(before, sums)
        here.mul_((before - both).exp_()).add_(found * (sums - both).exp_())
        before.copy_(both)


def _parts(spans: tuple[Span, ...], group: int) -> Iterator[Part]:
    """Each segment with itself, then all below each segment with it."""
    own = [slice(span.start, span.below) for span in spans]
    yield from (Part(nodes, nodes, True, group) for nodes in own)
    for span, nodes in zip(spans, own, strict=True):
        if span.end > span.below:
            yield Part(slice(span.below, span.end), nodes, False, group)


def _forward(*tensors: Any, **options: Any) -> Any:
    return torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(*tensors, **options)


def _backward(*tensors: Any, **options: Any) -> Any:
    return torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward(*tensors, **options)
