"""How a Python program is started as a job: here, by an interpreter of the owner's, or in an environment the job makes first."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from provisioning import environment
from provisioning.places import LOCAL


@dataclass(frozen=True)
class PythonCommand:
    """A command and the files it needs beside it."""

    command: tuple[str, ...]
    files: dict[str, Path]


def python_command(place: str, python: str, requirements: Path, program: str, *arguments: str) -> PythonCommand:
    """A program of a Python environment ("python" for its interpreter) on a place.

    `python` is an interpreter there; empty means this one on this machine, and on others an environment with `requirements` that the
    first job makes and later ones find.
    """
    if not python and place != LOCAL:
        files = {"environment.py": Path(environment.__file__), requirements.name: requirements}
        return PythonCommand(("python3", "environment.py", requirements.name, program, *arguments), files)
    python = python or sys.executable
    start = python if program == "python" else str(PurePosixPath(python).parent / program)
    return PythonCommand((start, *arguments), {})
