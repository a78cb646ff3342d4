"""A step at work: progress, figures, the loss chart once there are metrics, the log."""

from __future__ import annotations

import time

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widgets import Label, Log, ProgressBar, Static

from core.wizard.consequences import duration
from core.wizard.events import Cost, MachineCost, Metric, Notice, Progress, StepEvent
from core.wizard.events import Log as LogLine
from tui.widgets.loss_chart import LossChart


class RunPanel(Vertical):
    """Shows the events of a running step. `show_events` takes a batch, so that a burst costs one refresh."""

    DEFAULT_CSS = """
    RunPanel { height: 1fr; }
    RunPanel #progress-row { height: 1; margin: 0 0 1 0; }
    RunPanel ProgressBar, RunPanel Bar { width: 24; }
    RunPanel #progress-label { width: 1fr; padding: 0 0 0 2; color: $text-muted; }
    RunPanel #figures { height: auto; margin: 0 0 1 0; display: none; }
    RunPanel #notices { color: $text-warning; height: auto; display: none; margin: 0 0 1 0; }
    RunPanel LossChart { display: none; }
    RunPanel.-with-metrics LossChart, RunPanel.-with-metrics #figures { display: block; }
    RunPanel Log { height: 1fr; min-height: 3; background: $surface; padding: 0 1; }
    RunPanel.-with-metrics Log { height: 7; margin: 1 0 0 0; }
    """

    def __init__(self, id: str | None = None) -> None:
        super().__init__(id=id)
        self._began = time.monotonic()
        self._values: dict[str, float] = {}

    def compose(self) -> ComposeResult:
        with Horizontal(id="progress-row"):
            yield ProgressBar(id="progress", show_eta=False, show_percentage=False)
            yield Label("starting …", id="progress-label", markup=False)
        yield Static("", id="figures")
        yield Label("", id="notices", markup=False)
        yield LossChart(id="loss")
        yield Log(id="log", max_lines=5000)

    def show_events(self, events: list[StepEvent]) -> None:
        """Take over events in their order; of several Progress or Cost only the last is drawn."""
        lines: list[str] = []
        progress: Progress | None = None
        for event in events:
            if isinstance(event, LogLine):
                lines.append(event.line)
            elif isinstance(event, Progress):
                progress = event
            elif isinstance(event, Metric):
                self.add_class("-with-metrics")
                self.query_one(LossChart).add(event.step, event.values)
                self._values.update(event.values)
            elif isinstance(event, Notice):
                self._show_notice(event.text)
                lines.append(f"{event.level}: {event.text}")
            elif isinstance(event, Cost):
                self._values["usd"] = event.usd
            elif isinstance(event, MachineCost):
                self._values |= {"machine_usd": event.usd, "machine_usd_per_hour": event.usd_per_hour}
        if progress is not None:
            self._show_progress(progress)
        if self._values:
            self.query_one("#figures", Static).update(figures(self._values))
        if lines:
            self.query_one(Log).write_lines(lines)

    def _show_notice(self, text: str) -> None:
        label = self.query_one("#notices", Label)
        label.update(text)
        label.display = True

    def _show_progress(self, progress: Progress) -> None:
        count = f"{progress.done:g} of {progress.total:g} {progress.unit}" if progress.total else progress.unit
        parts = [count, f"{duration(time.monotonic() - self._began)} so far"]
        if progress.eta_seconds:
            parts.append(f"about {duration(progress.eta_seconds)} left")
        self.query_one("#progress-label", Label).update("  ·  ".join(part for part in parts if part))
        self.query_one(ProgressBar).update(total=progress.total or None, progress=progress.done)


_FIGURES = (
    ("loss", "train loss", "{:.3f}"),
    ("eval_loss", "validation loss", "{:.3f}"),
    ("tokens_per_second", "tokens/s", "{:,.0f}"),
    ("unique_token_ratio", "saved by sharing", "{:.1f}×"),
    ("memory_gb", "memory", "{:.1f} GB"),
    ("epoch", "epoch", "{:.2f}"),
    ("usd", "spent", "${:.2f}"),
    ("machine_usd", "rented machines", "${:.2f}"),
    ("machine_usd_per_hour", "an hour", "${:.2f}"),
)


def figures(values: dict[str, float]) -> Content:
    """The latest values as a line of figures with their names."""
    parts = [
        Content.assemble((form.format(values[name]), "bold"), (f" {label}", "$muted"))
        for name, label, form in _FIGURES
        if name in values
    ]
    return Content("    ").join(parts)
