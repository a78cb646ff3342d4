"""How a Python program is started as a job: here, by an interpreter of the owner's, or in an environment the job makes first."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from provisioning import environment
from provisioning.place_names import LOCAL


@dataclass(frozen=True)
class PythonCommand:
    """A command and the files it needs beside it."""

    command: tuple[str, ...]
    files: dict[str, Path]


def python_command(place: str, python: str, requirements: Path, program: str, *arguments: str) -> PythonCommand:
    """A program of a Python environment ("python" for its interpreter) on a place.

    `python` is an interpreter there; empty means this one on this machine, and `environment_command` on others.
    """
    if not python and place != LOCAL:
        return environment_command(place, requirements, program, *arguments)
    python = python or sys.executable
    start = python if program == "python" else str(PurePosixPath(python).parent / program)
    return PythonCommand((start, *arguments), {})


def environment_command(place: str, requirements: Path, program: str, *arguments: str) -> PythonCommand:
    """A program of an environment with `requirements` alone, here too, that the first job makes and later ones find."""
    files = {"environment.py": Path(environment.__file__), requirements.name: requirements}
    starter = sys.executable if place == LOCAL else "python3"
    return PythonCommand((starter, "environment.py", requirements.name, program, *arguments), files)
