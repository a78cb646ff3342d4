"""Whether prefixes may be shared: the model must allow it, and three rows must have the plain rows' loss and gradient."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attention
import torch
from datasets import Dataset
from loading import device_of_this_process
from report import log
from rows import FoldRows
from sharded import stand_in
from sharing import can_share
from trainer import summed_loss

ROWS = 3
LARGEST_LOSS_DIFFERENCE = {torch.float32: 1e-3, torch.bfloat16: 0.05}
LARGEST_GRADIENT_DIFFERENCE = {dtype: 4 * most for dtype, most in LARGEST_LOSS_DIFFERENCE.items()}
"""Relative; bfloat16 has 8 bits, so that two orders of adding up differ by some percent in a gradient of three rows."""


def shared_way(model: Any, train: Dataset, asked: str, dtype: torch.dtype, sharded: bool = False) -> str | None:
    """How shared prefixes are computed once here: a name of `attention.WAYS`. None, with the reason told, when they cannot be, and
    rows are to be trained one by one. A model that will be `sharded` has a small one of its kind checked in its stead."""
    device = device_of_this_process()
    own = model.config._attn_implementation
    way: str | None = None
    obstacle: str | None = can_share(model.config.to_dict(), max(map(len, train["input_ids"])))
    if obstacle is None:
        try:
            way, reason = attention.choose_way(asked, device)
        except ValueError as error:
            obstacle = str(error)
        else:
            attention.register()
            log(f"attention over shared prefixes by {way}: {reason}")
            checked = stand_in(model.config, device, dtype) if sharded else model
            obstacle = differs(checked, [train[number] for number in range(min(ROWS, len(train)))], way, dtype)
    if obstacle is None:
        model.set_attn_implementation(attention.NAME)
        return way
    log(f"{obstacle}; rows are trained one by one, which takes longer and comes to the same")
    model.set_attn_implementation(own)
    return None


def differs(model: Any, rows: Sequence[dict[str, Any]], way: str, dtype: torch.dtype) -> str | None:
    """Why a tree of some rows does not train as the model's own attention would train them one by one; None when it does."""
    loss, gradient = differences(model, rows[:ROWS], way, dtype is torch.bfloat16)
    log(f"shared prefixes against plain rows: loss differs by {loss:.1e}, gradient by {gradient:.1e}")
    if loss < LARGEST_LOSS_DIFFERENCE[dtype] and gradient < LARGEST_GRADIENT_DIFFERENCE[dtype]:
        return None
    return "shared prefixes do not agree with plain rows on this machine"


def differences(model: Any, rows: Sequence[dict[str, Any]], way: str, mixed: bool = False) -> tuple[float, float]:
    """(relative difference of the loss, of the gradient) between a tree of some rows and the rows one by one. Leaves the model on
    tree attention and without gradients."""
    collate = FoldRows()

    def computed(batches: Sequence[Sequence[dict[str, Any]]], way: str | None) -> tuple[float, torch.Tensor]:
        total = 0.0
        for batch in batches:
            loss = summed_loss(model, collate(batch), way, mixed)
            loss.backward()
            total += float(loss.detach())
        parts = [weight.grad.detach().float().flatten() for weight in model.parameters() if weight.grad is not None]
        model.zero_grad()
        return total, torch.cat(parts)

    apart, plain = computed([[row] for row in rows], None)
    model.set_attn_implementation(attention.NAME)
    together, folded = computed([rows], way)
    return abs(together - apart) / abs(apart), float((folded - plain).norm() / plain.norm().clamp_min(1e-12))
