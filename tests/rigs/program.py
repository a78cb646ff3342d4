"""The training program's modules, which stand on their own on the machine that trains."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

from core.training.bundle import training_program

sys.path.insert(0, str(training_program()["program.py"].parent))


def module(name: str) -> ModuleType:
    """One of them, under the name the others import it by."""
    return importlib.import_module(name)
