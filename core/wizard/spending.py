"""What steps spent on language models, remembered in the journal."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable

from core.wizard.events import Cost, StepEvent
from core.wizard.journal import Journal

KIND = "spent"
_WORTH_A_LINE = 0.01
"""Dollars from which a sum is written down while its step still runs; the rest is when it ends."""


class SpendingRecord:
    """Hears the events of one run of a step and passes them on. A context manager around the run."""

    def __init__(self, journal: Journal, step: str, emit: Callable[[StepEvent], None]) -> None:
        self._journal, self._step, self._emit = journal, step, emit
        self._run = time.time_ns()
        self._spent = self._written = 0.0

    def __call__(self, event: StepEvent) -> None:
        if isinstance(event, Cost):
            self._spent = max(self._spent, event.usd)
            if self._spent - self._written >= _WORTH_A_LINE:
                self._write()
        self._emit(event)

    def __enter__(self) -> SpendingRecord:
        return self

    def __exit__(self, *_: object) -> None:
        self._write()

    def _write(self) -> None:
        if self._spent > self._written:
            self._journal.add_event(self._step, KIND, {"run": self._run, "usd": self._spent})
            self._written = self._spent


def spent_by_step(journal: Journal) -> dict[str, float]:
    """Dollars by step, of all its runs: what a run found in the cache it did not pay for again."""
    latest: dict[tuple[str, int], float] = {}
    for _, step, _, body in journal.events(KIND):
        latest[step, body["run"]] = body["usd"]
    found: defaultdict[str, float] = defaultdict(float)
    for (step, _), usd in latest.items():
        found[step] += usd
    return dict(found)
