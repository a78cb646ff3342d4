"""The precision to compute in: what this machine computes faster."""

from __future__ import annotations

import time

import torch


def choose_dtype(asked: str) -> tuple[torch.dtype, str]:
    """The precision to compute in, with the reason."""
    if asked != "auto":
        return {"float32": torch.float32, "bfloat16": torch.bfloat16}[asked], "as asked"
    if torch.cuda.is_available():
        native = torch.cuda.is_bf16_supported()
        return (
            (torch.bfloat16, "the GPU computes it natively") if native else (torch.float32, "the GPU has no bfloat16")
        )
    seconds = {dtype: _product_seconds(dtype) for dtype in (torch.float32, torch.bfloat16)}
    faster = min(seconds, key=seconds.__getitem__)
    ratio = max(seconds.values()) / min(seconds.values())
    return faster, f"measured {ratio:.1f} times as fast as the other on this CPU"


def describe_device() -> str:
    if torch.cuda.is_available():
        return str(torch.cuda.get_device_name())
    return f"no GPU found, {torch.get_num_threads()} CPU threads"


def _product_seconds(dtype: torch.dtype) -> float:
    one, other = torch.randn(1024, 576, dtype=dtype), torch.randn(576, 1536, dtype=dtype)
    best = float("inf")
    for _ in range(5):
        began = time.perf_counter()
        one @ other
        best = min(best, time.perf_counter() - began)
    return best
