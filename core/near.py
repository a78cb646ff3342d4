"""The nearest known name to one that is not known."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from core.errors import Problem

MOST_HINTS = 100
"""Problems up to which a near name is looked for; nobody reads more, and each look goes through all names."""
MOST_NAMES = 5_000
"""Names among which a near one is looked for."""


def near(name: str, known: Iterable[str], problems: Sequence[Problem] = ()) -> str:
    """The nearest known name as the end of a sentence; "" when none is near, or too many names or `problems`."""
    import difflib

    names = list(known)
    found = difflib.get_close_matches(name, names, 1) if len(problems) < MOST_HINTS and len(names) < MOST_NAMES else []
    return f"; did you mean {found[0]}?" if found else ""
