"""The shipped sample assistant, its tests and its paraphrases.

The Last Lamp is a lighthouse hostel: beds, breakfast, a rowing boat, tours, postcards, a foghorn, lost things, gulls.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from core.errors import UsageError

_HERE = Path(__file__).parent
_NOT_COPIED = shutil.ignore_patterns("__pycache__", "*.pyc")


def assistant_folder() -> Path:
    """The project folder of the assistant, with its tests in `e2e_tests/`."""
    return _HERE / "assistant"


def commands_file() -> Path:
    """The commands that each user message of the tests calls for, as a recording."""
    return _HERE / "commands.yml"


def paraphrases_file() -> Path:
    """Other wordings, written by hand, of every message of the tests."""
    return _HERE / "paraphrases.yml"


def copy_to(folder: Path) -> Path:
    """Copy all of it into `folder`: `assistant/`, `commands.yml`, `paraphrases.yml`. Returns the copied project folder.

    Raises UsageError when `folder` holds something already, so that nobody's edits are lost.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} is not an empty folder; name a new one for the sample assistant")
    folder.mkdir(parents=True, exist_ok=True)
    for file in (commands_file(), paraphrases_file()):
        shutil.copyfile(file, folder / file.name)
    return Path(shutil.copytree(assistant_folder(), folder / "assistant", ignore=_NOT_COPIED))


def answers(folder: Path) -> dict[str, dict[str, Any]]:
    """Answers of a session that takes a copy made by `copy_to(folder)` through all steps; the rest are the defaults."""
    return {
        "session": {"assistant": str(folder / "assistant"), "commands": str(folder / "commands.yml")},
        "dataset": {
            "rephraser": str(folder / "paraphrases.yml"),
            "num_rephrases": 6,
            "answer_rephrases": 4,
            "history_turns": 0,
        },
        "training": {"learning_rate": 0.0015, "epochs": 1.25, "rows_per_step": 18},
    }
