"""What the app remembers of its user from one time to the next: the theme, and that the tour was seen."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Any

from core.atomic import write_atomically

THEME, TOURED = "theme", "toured"


def state_file() -> Path:
    """$XDG_STATE_HOME/calmtune/app.json."""
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "calmtune" / "app.json"


def recall(name: str) -> Any:
    """What was remembered under a name; None when nothing was, or when it cannot be read."""
    return _all().get(name)


def remember(name: str, value: Any) -> None:
    """For the next time; where that cannot be written it is forgotten."""
    path = state_file()
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_atomically(path, json.dumps({**_all(), name: value}), sync=False)


def _all() -> dict[str, Any]:
    try:
        found = json.loads(state_file().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
