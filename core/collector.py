"""Python's garbage collector out of the way: going over all objects stops every thread, and so the screen, for 0.1 to 0.4 s each time."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


def collect_rarely() -> None:
    """Look for garbage after 20,000 new objects instead of 700: a screen is made of some thousands, what is imported of more."""
    gc.set_threshold(20_000, 20, 20)


def spare_what_is_there() -> None:
    """What has been made so far is never garbage, and not gone over any more."""
    gc.freeze()


@contextmanager
def without_collector() -> Iterator[None]:
    """Make many small values at once: looking for garbage among them meanwhile takes longer than making them."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
