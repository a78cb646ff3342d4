"""A file in the owner's editor, in place of the app for as long as that runs."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from textual.app import App, SuspendNotSupported

_GO_TO_LINE = ("vi", "vim", "nvim", "nano", "emacs", "emacsclient", "micro", "joe", "ne", "kak", "helix", "hx", "mg")
"""Editors that take `+LINE` before the file."""


def editor_command(path: Path, line: int = 1, environment: Mapping[str, str] = os.environ) -> list[str] | None:
    """What $VISUAL or $EDITOR says, else nano or vi; None where there is no editor."""
    chosen = environment.get("VISUAL") or environment.get("EDITOR") or shutil.which("nano") or shutil.which("vi")
    if not chosen:
        return None
    try:
        command = shlex.split(chosen)
    except ValueError:
        return None
    places = [f"+{line}"] if line > 1 and command and Path(command[0]).name in _GO_TO_LINE else []
    return [*command, *places, str(path)] if command else None


def edit(app: App[object], path: Path, line: int = 1) -> bool:
    """Edit a file; a sentence and False where that cannot be done here."""
    command = editor_command(path, line)
    try:
        if command is None:
            raise OSError("there is no editor; set EDITOR")
        with app.suspend():
            subprocess.run(command, check=False)
    except (SuspendNotSupported, OSError) as problem:
        reason = "an editor cannot take this screen" if isinstance(problem, SuspendNotSupported) else str(problem)
        app.notify(f"{reason}; the file is {path}", severity="warning", timeout=15, markup=False)
        return False
    app.refresh(repaint=True, layout=True)
    return True
