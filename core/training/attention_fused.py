"""Tree attention by torch's fused CPU kernel, which never writes scores to memory.

As in `attention_blocks`, a segment's keys meet the queries of its whole subtree at once: its own under a causal mask, those below without
one. The kernel gives each part's outcome with the logarithm of its softmax's sum; parts are joined by these sums. Given the joined outcome
and sum, the kernel's own backward pass yields each part's share of the gradient exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from tree import subtree_ends


def missing(device: torch.device) -> str | None:
    """Why this way cannot be taken on a device; None when it can."""
    if device.type != "cpu":
        return "it needs a CPU"
    return None if hasattr(torch.ops.aten, "_scaled_dot_product_flash_attention_for_cpu") else "this torch has no such kernel"


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
        out = torch.zeros_like(query, dtype=torch.float32)
        total = query.new_full(query.shape[:3], float("-inf"), dtype=torch.float32)
        for queries, keys, causal in _parts(spans):
            part, sums = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
                _rows(query, queries, causal), _keys(key, keys, query, causal), _keys(value, keys, query, causal), 0.0, causal,
                scale=scaling,
            )  # fmt: skip
            _join(out, total, queries, _unrow(part, query, causal), _unrow(sums[..., None], query, causal)[..., 0])
        joined = out.to(query.dtype)
        context.save_for_backward(query, key, value, joined, total)
        context.spans, context.scaling = spans, scaling
        return joined

    @staticmethod
    def backward(context: Any, grad: torch.Tensor) -> tuple[Any, ...]:
        query, key, value, joined, total = context.saved_tensors
        grad = grad.contiguous()
        grad_query = torch.zeros_like(query, dtype=torch.float32)
        grad_key, grad_value = torch.zeros_like(key, dtype=torch.float32), torch.zeros_like(value, dtype=torch.float32)
        for queries, keys, causal in _parts(context.spans):
            by_query, by_key, by_value = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward(
                _rows(grad, queries, causal), _rows(query, queries, causal), _keys(key, keys, query, causal),
                _keys(value, keys, query, causal), _rows(joined, queries, causal),
                _rows(total[..., None], queries, causal)[..., 0], 0.0, causal, scale=context.scaling,
            )  # fmt: skip
            grad_query[:, queries] += _unrow(by_query, query, causal)
            grad_key[:, keys] += by_key.sum(1)
            grad_value[:, keys] += by_value.sum(1)
        return grad_query.to(query.dtype), grad_key.to(key.dtype), grad_value.to(value.dtype), None, None


def _parts(spans: tuple[Span, ...]) -> Any:
    """(queries, keys, whether under a causal mask): each segment with itself, and all below it with it."""
    for span in spans:
        own = slice(span.start, span.below)
        yield own, own, True
        if span.end > span.below:
            yield slice(span.below, span.end), own, False


def _rows(tensor: torch.Tensor, nodes: slice, causal: bool) -> torch.Tensor:
    """The kernel's [batch, heads, rows, width]: with a mask a head a query head, without one the queries of a group are just more rows."""
    part = tensor[:, nodes]
    return part.transpose(1, 2) if causal else part.flatten(1, 2)[:, None]


def _keys(tensor: torch.Tensor, nodes: slice, query: torch.Tensor, causal: bool) -> torch.Tensor:
    part = tensor[:, None, nodes]
    return part.expand(-1, query.shape[2], -1, -1) if causal else part


def _unrow(tensor: torch.Tensor, query: torch.Tensor, causal: bool) -> torch.Tensor:
    """Back to [key heads, nodes, group, width]."""
    return tensor.transpose(1, 2) if causal else tensor[:, 0].unflatten(1, (-1, query.shape[2]))


def _join(out: torch.Tensor, total: torch.Tensor, queries: slice, part: torch.Tensor, sums: torch.Tensor) -> None:
    """Take one part into the joined outcome, weighted by the sums of both."""
    before = total[:, queries]
    both = torch.logaddexp(before, sums)
    out[:, queries].mul_((before - both).exp_()[..., None]).add_(part * (sums - both).exp_()[..., None])
    total[:, queries] = both
