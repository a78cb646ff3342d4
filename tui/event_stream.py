"""Runs told to other programs: events as JSON lines on stdout, the last of which holds outcome and exit code."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from core.wizard.event_lines import OUTCOMES, Ended, Event, StepBegan, StepEnded, as_line, facts_of
from core.wizard.events import Progress, StepEvent
from core.wizard.recipe import STEP_IDS, step
from core.wizard.session import StepStatus
from tui.ending import Ending, ending_of
from tui.output import json_line, redacted

SECONDS_BETWEEN_PROGRESS = 1.0
_COMMON = {"type", "version", "time", "session", "step"}


class EventStream:
    """Subscriber of a run. Keys are taken out of texts; who stops reading does not stop the run."""

    def __init__(self) -> None:
        self.session: str | None = None
        self.statuses: Sequence[StepStatus] = ()
        """Where the steps stood at last, for the last line."""
        self._began: dict[str, float] = {}
        self._told_progress = float("-inf")
        self._lock = threading.Lock()

    def on_event(self, step_id: str, event: StepEvent) -> None:
        if isinstance(event, Progress) and event.done < event.total:
            now = time.monotonic()
            if now - self._told_progress < SECONDS_BETWEEN_PROGRESS:
                return
            self._told_progress = now
        self._write(event, step_id)

    def on_step(self, status: StepStatus) -> None:
        if not status.done:
            self._began[status.step] = time.monotonic()
            it = step(status.step)
            self._write(StepBegan(STEP_IDS.index(status.step) + 1, it.title, status.reason), status.step)
            return
        began = self._began.pop(status.step, None)
        seconds = None if began is None else round(time.monotonic() - began, 3)
        gates = tuple(status.outputs.gates) if status.outputs else ()
        self._write(StepEnded(status.state, status.reason, seconds, gates), status.step)

    def end(self, ending: Ending) -> None:
        outcome: Any = OUTCOMES.get(ending.exit_code, "failed")
        self._write(Ended(outcome, ending.exit_code, ending.sentence, facts_of(self.statuses)), None)

    def _write(self, event: Event, step_id: str | None) -> None:
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        told = as_line(event, step_id, self.session, now)
        line = json_line({name: value if name in _COMMON else _redacted(value) for name, value in told.items()})
        with self._lock:
            try:
                print(line, flush=True)
            except BrokenPipeError:
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextmanager
def stream_of_run() -> Iterator[EventStream]:
    """A stream whose last line is written whatever happens to the run."""
    stream = EventStream()
    try:
        yield stream
    except BaseException as error:
        stream.end(ending_of(error))
        raise
    stream.end(Ending(0))


def _redacted(value: Any) -> Any:
    if isinstance(value, str):
        return redacted(value)
    if isinstance(value, dict):
        return {name: _redacted(item) for name, item in value.items()}
    return [_redacted(item) for item in value] if isinstance(value, list) else value
