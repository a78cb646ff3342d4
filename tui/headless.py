"""Runs without anyone at the keyboard: events become lines on stderr, fewer of them where nobody watches."""

from __future__ import annotations

import sys
import time

from core.evaluation.report_ascii import loss_letters
from core.wizard.events import Cost, Log, MachineCost, Metric, Notice, Progress, StepEvent
from core.wizard.recipe import STEP_IDS, step
from core.wizard.report_parts import loss_curve
from core.wizard.session import StepStatus
from core.wizard.steps.training import METRICS
from tui.output import narrate

SECONDS_BETWEEN_PROGRESS = 5.0
SECONDS_BETWEEN_PROGRESS_UNWATCHED = 30.0
"""On a pipe or in a file, which is read later."""
SECONDS_BETWEEN_COSTS = 300.0
_UNTOLD = {"unique_tokens_per_second", "memory_gb"}
"""Metrics left to metrics.jsonl: a line holds enough without them."""
_OFTEN = _UNTOLD | {"loss", "learning_rate", "epoch", "grad_norm", "tokens_per_second", "rows_per_second"}
"""Metrics of every optimizer step; others are rare and always told."""


class Narrator:
    """Subscriber of a run. Progress and training losses are told every few seconds, validations and the rest at once."""

    def __init__(self) -> None:
        self._pause = SECONDS_BETWEEN_PROGRESS if sys.stderr.isatty() else SECONDS_BETWEEN_PROGRESS_UNWATCHED
        self._last: dict[str, float] = {}
        self._began: dict[str, float] = {}
        self._told = ""
        """The last line about progress."""

    def on_event(self, step_id: str, event: StepEvent) -> None:
        if isinstance(event, Notice):
            narrate(f"  {event.level}: {event.text}")
        elif isinstance(event, Log):
            narrate(f"  {event.line}")
        elif isinstance(event, Metric):
            if self._is_time("metric", self._pause) or not event.values.keys() <= _OFTEN:
                narrate("  " + metric_line(event))
        elif isinstance(event, MachineCost):
            self._machine_cost(event)
        elif isinstance(event, Cost):
            if self._is_time("cost", self._pause):
                narrate(f"  spent so far: ${event.usd:.2f}")
        elif self._is_time("progress", self._pause) or event.done >= event.total:
            self._progress(event)

    def _is_time(self, kind: str, pause: float) -> bool:
        """Whether the last line of a kind is long enough ago for another."""
        now = time.monotonic()
        if now - self._last.get(kind, float("-inf")) < pause:
            return False
        self._last[kind] = now
        return True

    def _machine_cost(self, event: MachineCost) -> None:
        if not self._is_time("machine cost", SECONDS_BETWEEN_COSTS):
            return
        budget = f" of ${event.budget:.2f}" if event.budget is not None else ""
        narrate(f"  rented machines: ${event.usd:.2f}{budget} so far, ${event.usd_per_hour:.2f} an hour")

    def _progress(self, event: Progress) -> None:
        count = f"{event.done:g} of {event.total:g} {event.unit}"
        eta = f", {event.eta_seconds / 60:.0f} min left" if event.eta_seconds and event.eta_seconds > 90 else ""
        line = f"  {event.label + ': ' if event.label else ''}{count}{eta}"
        if line != self._told:  # small files change nothing of a rounded count
            narrate(line)
        self._told = line

    def on_step(self, status: StepStatus) -> None:
        title = f"{STEP_IDS.index(status.step) + 1}/{len(STEP_IDS)} {step(status.step).title}"
        if not status.done:
            self._told = ""
            self._began[status.step] = time.monotonic()
            narrate(f"{title}{': ' + status.reason if status.reason else ''}")
            return
        if status.step not in self._began:
            narrate(f"{title}: done before, nothing to repeat")
            return
        seconds = time.monotonic() - self._began.pop(status.step)
        for gate in status.outputs.gates if status.outputs else ():
            narrate(
                f"  {'passed' if gate.passed else 'FAILED'}: {gate.name}: {gate.measured} (required {gate.required})"
            )
        self._curve(status)
        narrate(f"  {status.state} after {seconds:.0f} s")

    def _curve(self, status: StepStatus) -> None:
        """The losses of a step that trained."""
        curve = loss_curve(status.folder / METRICS, step(status.step).title) if status.folder else None
        for line in loss_letters(curve) if curve is not None else ():
            narrate(f"  {line}")


def metric_line(event: Metric) -> str:
    """ "step 20: loss 0.812, eval loss 0.640" """
    told = {name: value for name, value in event.values.items() if name not in _UNTOLD}
    values = ", ".join(f"{name.replace('_', ' ')} {value:.4g}" for name, value in told.items())
    return f"step {event.step}: {values}"
