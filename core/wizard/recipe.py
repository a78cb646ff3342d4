"""The seven steps in their order. Modules are imported when a step is asked for, so that nothing heavy is on the way to `--help`."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from core.wizard.step import Step

STEP_IDS = ("coverage", "dataset", "training", "evaluation", "production", "deployment", "connection")
REVIEWED = "dataset"
"""The step whose rows can be looked at, and decided about, by hand."""


def step(id: str) -> Step:
    """The step of an id; KeyError when there is none."""
    if id not in STEP_IDS:
        raise KeyError(id)
    found: Step = import_module(f"core.wizard.steps.{id}").STEP
    return found
