"""The gate of a training run's curve: passed by a healthy one, and by one that was rolled back to good weights."""

from __future__ import annotations

from core.training.diagnosis import Diagnosis
from core.training.metrics import Curves
from core.training.rollback import Rollback, judge_rollback
from core.wizard.events import Notice
from core.wizard.step import Gate


def rollback_of(diagnosis: Diagnosis, curves: Curves, chosen: int, steps: int) -> Rollback | None:
    """What became of a run that is not good; None for one that is. `chosen` is the step whose weights were taken, of `steps`."""
    return None if diagnosis.good else judge_rollback(diagnosis, curves, chosen, steps)


def gate(diagnosis: Diagnosis, rolled_back: Rollback | None) -> Gate:
    """Whether the recipe may go on with the weights that were taken."""
    said = [rolled_back.sentence] if rolled_back is not None else []
    return Gate(
        "curve healthy",
        "neither broken, diverged nor overfitted, or rolled back to good weights",
        str(diagnosis),
        diagnosis.good or (rolled_back is not None and rolled_back.good),
        detail="; ".join([*said, *diagnosis.evidence]),
    )


def warning(diagnosis: Diagnosis, rolled_back: Rollback | None) -> Notice | None:
    """What to know, and what to change, when the recipe goes on in spite of what was found."""
    if rolled_back is None or not rolled_back.good:
        return None
    return Notice("warning", f"{rolled_back.sentence} after this run was found {diagnosis}")
