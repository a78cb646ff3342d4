"""Whether a run that went wrong still left good weights: those of a validation from before.

Early stopping with the best validation's weights kept is the usual cure for overfitting (Prechelt 1998), so such a run need not fail. Of a
run that diverged more is asked, because what spoils training may have begun before it shows. Labels that teach nothing leave nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from core.training.diagnosis import GENERALISATION_LOSS, HALF_LIFE, LEAST_RISE, RECENT, Diagnosis
from core.training.metrics import Curves, averaged

LEARNT = 0.1
"""Share of the loss of the beginning that a validation must have lost by learning before a run overfitted."""
LEARNT_BEFORE_DIVERGENCE = 0.5
"""The same before a run diverged."""
NOISE = 0.1
"""Share of the loss of the beginning by which training loss may lie above its least average while nothing has diverged yet."""


@dataclass(frozen=True)
class Rollback:
    """What became of a run that went wrong."""

    good: bool
    """Whether the weights that were taken are from before that, and had learnt."""
    sentence: str
    """Which they are and what speaks for or against them."""


def judge_rollback(found: Diagnosis, curves: Curves, step: int, last: int) -> Rollback:
    """Judge the weights of `step`, taken from a run that ended at `last` and was `found` not to be good. Losses in nats a label."""
    if found.state == "broken labels":
        return Rollback(False, "not rolled back: labels that teach nothing leave no good weights")
    loss = dict(curves.validation).get(step)
    if loss is None or step >= last:
        return Rollback(False, "not rolled back: no earlier validation was better")
    taken = f"the weights of step {step} are taken (validation loss {loss:.3f}"
    first = curves.train[0][1] if curves.train else math.nan
    if not (math.isfinite(loss) and math.isfinite(first)):
        return Rollback(False, f"not rolled back: {taken}), and the loss was no number by then")
    at, best = min((point for point in curves.validation if math.isfinite(point[1])), key=lambda point: point[1])
    if step > at and loss > (1 + GENERALISATION_LOSS / 100) * best and loss - best >= LEAST_RISE:
        return Rollback(False, f"not rolled back: {taken}, {best:.3f} at best), when it had risen already")
    if found.state == "diverged" and step > _last_sound_step(curves):
        return Rollback(False, f"not rolled back: {taken}), when training loss had risen already")
    least = LEARNT_BEFORE_DIVERGENCE if found.state == "diverged" else LEARNT
    if loss > (1 - least) * first:
        said = f"{taken}, {first:.3f} at the beginning), which had not learnt {least:.0%} of that"
        return Rollback(False, f"not rolled back: {said}")
    return Rollback(True, f"rolled back: {taken}, {first:.3f} at the beginning)")


def _last_sound_step(curves: Curves) -> int:
    """The last step before losses or gradients were no numbers, or before training loss rose from its least average and stayed above."""
    broken = [
        step
        for points in (curves.train, curves.validation, curves.grad_norm)
        for step, value in points
        if not math.isfinite(value)
    ]
    if broken:
        return min(broken) - 1
    losses = [loss for _, loss in curves.train]
    smooth = averaged(losses, 0.5 ** (1 / max(HALF_LIFE, len(losses) // 20)))
    bound = min(smooth[RECENT - 1 :] or smooth) + NOISE * losses[0]
    return max(step for (step, _), loss in zip(curves.train, smooth, strict=True) if loss <= bound)
