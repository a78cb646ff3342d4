"""Shared-prefix training must have the plain rows' gradient: checked on three rows before anything else."""

from __future__ import annotations

from typing import Any

import torch
from datasets import Dataset
from report import log
from rows import FoldRows
from trainer import TreeTrainer, tree_loss


def agrees_with_plain_rows(trainer: TreeTrainer, train: Dataset) -> bool:
    """Whether a tree of some rows trains as they would one by one on this machine; says how far apart they are."""
    rows = [train[number] for number in range(min(3, len(train)))]
    loss, gradient = check_against_plain_rows(trainer.model, rows, trainer.args.bf16)
    tolerance = 0.05 if trainer.args.bf16 else 1e-3
    log(f"shared prefixes against plain rows: loss differs by {loss:.1e}, gradient by {gradient:.1e}")
    if loss < tolerance and gradient < 4 * tolerance:
        return True
    log("the shared computation does not agree with the plain rows on this machine; nothing was trained")
    return False


def check_against_plain_rows(model: Any, rows: list[dict[str, Any]], mixed: bool) -> tuple[float, float]:
    """(relative difference of the loss, of the adapter's gradient) between a tree of some rows and the rows one by one."""

    def gradient() -> torch.Tensor:
        parts = [p.grad.detach().float().flatten() for p in model.parameters() if p.grad is not None]
        model.zero_grad()
        return torch.cat(parts)

    collate = FoldRows()
    together = tree_loss(model, collate(rows), mixed)
    together.backward()
    folded = gradient()
    apart = 0.0
    for row in rows:
        loss = tree_loss(model, collate([row]), mixed)
        loss.backward()
        apart += float(loss.detach())
    plain = gradient()
    return abs(float(together.detach()) - apart) / abs(apart), float(
        (folded - plain).norm() / plain.norm().clamp_min(1e-12)
    )
