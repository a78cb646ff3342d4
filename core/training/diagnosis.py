"""What a loss curve says, in one word and one sentence."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from core.training.metrics import Curves, averaged

State = Literal["healthy", "diverged", "overfitting", "underfitting", "too few points"]

RISE_OF_DIVERGENCE = 3.0
"""Times its minimum that the averaged training loss may reach before the run counts as diverged."""
LOSS_OF_OVERFITTING = 0.10
"""Share by which the last validation loss may lie above the best one while training loss goes on falling."""
STILL_FALLING = 0.10
"""Share by which validation loss fell over the last quarter of a run that ended too early."""


@dataclass(frozen=True)
class Diagnosis:
    state: State
    sentence: str
    """Evidence, and what to change."""

    @property
    def good(self) -> bool:
        """True unless the run is broken or got worse: too little evidence does not stop the recipe, the tests decide."""
        return self.state not in ("diverged", "overfitting")


def diagnose(curves: Curves) -> Diagnosis:
    """Judge a finished run."""
    losses = [loss for _, loss in curves.train]
    if any(not math.isfinite(loss) for loss in losses):
        return Diagnosis(
            "diverged", "the training loss became infinite or no number; lower the learning rate to a third"
        )
    smooth = averaged(losses)
    if len(smooth) >= 6 and min(smooth[-3:]) > RISE_OF_DIVERGENCE * min(smooth):
        return Diagnosis(
            "diverged",
            f"the training loss rose from {min(smooth):.3f} to {smooth[-1]:.3f}; lower the learning rate to a third",
        )
    if len(curves.validation) < 4:
        return Diagnosis("too few points", f"{len(curves.validation)} validation points say too little about the curve")
    best, last = curves.best, curves.validation[-1]
    assert best is not None
    falling = smooth[-1] < smooth[len(smooth) // 2]
    if falling and last[1] > (1 + LOSS_OF_OVERFITTING) * best[1] and last[0] > best[0]:
        exact = dict(curves.exact)
        then, now = exact.get(best[0], 0.0), exact.get(last[0], 0.0)
        if 0 < then <= now:  # short completions: the model became too sure of itself, not worse
            return Diagnosis(
                "healthy",
                f"validation loss rose from {best[1]:.3f} at step {best[0]} to {last[1]:.3f}, but the rows written exactly "
                f"did not become fewer: {100 * then:.1f} % then, {100 * now:.1f} % at the end",
            )
        return Diagnosis(
            "overfitting",
            f"validation loss rose from {best[1]:.3f} at step {best[0]} to {last[1]:.3f} while training loss fell; train fewer epochs",
        )
    quarter = curves.validation[-max(2, len(curves.validation) // 4 + 1)]
    if last[1] < (1 - STILL_FALLING) * quarter[1] and last[1] > 0.05:
        return Diagnosis(
            "underfitting",
            f"validation loss was still falling ({quarter[1]:.3f} to {last[1]:.3f}); more epochs may help",
        )
    return Diagnosis("healthy", f"validation loss settled at {last[1]:.3f}, best {best[1]:.3f} at step {best[0]}")
