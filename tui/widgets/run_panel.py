"""A step at work: progress, the loss chart once there are metrics, the log."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import Label, Log, ProgressBar

from core.wizard.events import Cost, Metric, Notice, Progress, StepEvent
from core.wizard.events import Log as LogLine
from tui.widgets.loss_chart import LossChart


class RunPanel(Vertical):
    """Shows the events of a running step. `show_events` takes a batch, so that a burst costs one refresh."""

    DEFAULT_CSS = """
    RunPanel { height: 1fr; }
    RunPanel #progress-label { margin: 1 0 0 0; }
    RunPanel #figures { color: $text-muted; }
    RunPanel #notices { color: $text-warning; }
    RunPanel LossChart { display: none; }
    RunPanel.-with-metrics LossChart { display: block; }
    RunPanel Log { height: 1fr; min-height: 4; border: round $panel; }
    RunPanel.-with-metrics Log { height: 8; }
    """

    def compose(self) -> ComposeResult:
        yield Label("starting …", id="progress-label", markup=False)
        yield ProgressBar(id="progress", show_eta=True)
        yield Label("", id="figures", markup=False)
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
                self._show_figures(event)
            elif isinstance(event, Notice):
                self.query_one("#notices", Label).update(event.text)
                lines.append(f"{event.level}: {event.text}")
            elif isinstance(event, Cost):
                self.border_subtitle = f"${event.usd:.2f}"
        if progress is not None:
            self._show_progress(progress)
        if lines:
            self.query_one(Log).write_lines(lines)

    def _show_progress(self, progress: Progress) -> None:
        count = f"{progress.done:g} of {progress.total:g} {progress.unit}" if progress.total else progress.unit
        self.query_one("#progress-label", Label).update(f"{progress.label}: {count}" if progress.label else count)
        self.query_one(ProgressBar).update(total=progress.total or None, progress=progress.done)

    def _show_figures(self, metric: Metric) -> None:
        figures = [f"step {metric.step}"]
        figures += [
            f"{name.replace('_', ' ')} {value:.4g}"
            for name, value in metric.values.items()
            if name in ("learning_rate", "tokens_per_second", "unique_token_ratio", "epoch")
        ]
        self.query_one("#figures", Label).update("   ".join(figures))
