"""Python's garbage collector out of the way of whoever watches: going over all objects held the screen for 0.1 to 0.3 s each time."""

from __future__ import annotations

import gc


def collect_rarely() -> None:
    """Look for garbage after 20,000 new objects instead of 700: a screen is made of some thousands, what is imported of more."""
    gc.set_threshold(20_000, 20, 20)


def spare_what_is_there() -> None:
    """What has been imported so far is never garbage, and not gone over any more."""
    gc.freeze()
