"""A step at work: progress, figures, what the curves say, the loss chart once there are metrics, the log."""

from __future__ import annotations

import time
from dataclasses import fields

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widgets import Label, ProgressBar, Static

from core.training.diagnosis import Diagnosis, diagnose
from core.training.metrics import Curves
from core.wizard.consequences import duration
from core.wizard.events import Cost, MachineCost, Metric, Notice, Progress, StepEvent
from core.wizard.events import Log as LogLine
from tui.safe_text import log_line
from tui.widgets.log_panel import LogPanel
from tui.widgets.log_view import LogView
from tui.widgets.loss_chart import LossChart

SECONDS_BETWEEN_DIAGNOSES = 0.5


class RunPanel(Vertical):
    """Shows the events of a running step. `show_events` takes a batch, so that a burst costs one refresh."""

    DEFAULT_CSS = """
    RunPanel { height: 1fr; }
    RunPanel #progress-row { height: 1; margin: 0 0 1 0; }
    RunPanel ProgressBar, RunPanel Bar { width: 24; }
    RunPanel #progress-label { width: 1fr; padding: 0 0 0 2; color: $text-muted; }
    RunPanel #figures { height: auto; display: none; }
    RunPanel #diagnosis { height: auto; width: 1fr; display: none; }
    RunPanel #notices { color: $text-warning; height: auto; display: none; margin: 0 0 1 0; }
    RunPanel #notices.-told { display: block; }
    RunPanel #notices.-info { color: $text-muted; }
    RunPanel LossChart { display: none; }
    RunPanel.-with-metrics LossChart { display: block; }
    RunPanel.-with-metrics #notices.-info { display: none; }
    RunPanel LossChart { height: 2fr; }
    RunPanel LogPanel { height: 1fr; min-height: 4; }
    RunPanel.-log-only LossChart { display: none; }
    """
    BINDINGS = [
        Binding("l", "toggle_log", "Log", tooltip="The log in the place of the chart, and back", id="whole-log"),
    ]

    def __init__(self, id: str | None = None) -> None:
        super().__init__(id=id)
        self._began = time.monotonic()
        self._values: dict[str, float] = {}
        self._curves = Curves()
        self._planned: int | None = None
        self._unjudged = self._judging = False

    def compose(self) -> ComposeResult:
        with Horizontal(id="progress-row"):
            yield ProgressBar(id="progress", show_eta=False, show_percentage=False)
            yield Label("starting …", id="progress-label", markup=False)
        yield Static("", id="figures")
        yield Static("", id="diagnosis")
        yield Label("", id="notices", markup=False)
        yield LossChart(id="loss")
        yield LogPanel(id="log")

    def on_mount(self) -> None:
        self.set_interval(SECONDS_BETWEEN_DIAGNOSES, self._judge)
        self.call_after_refresh(self._take_focus)

    def _take_focus(self) -> None:
        """The keys of what is shown here work at once: of the chart when there is one."""
        if not self.is_attached:  # the step was quicker than the screen
            return
        if self.has_class("-with-metrics"):
            self.query(LossChart).focus()
        elif self.screen.is_current:
            self.query(LogView).focus()

    def action_toggle_log(self) -> None:
        self.toggle_class("-log-only")
        (self.query_one(LogPanel).view if self.has_class("-log-only") else self.query_one(LossChart)).focus()

    def show_events(self, events: list[StepEvent]) -> None:
        """Take over events in their order; of several Progress or Cost only the last is drawn."""
        lines: list[str] = []
        progress: Progress | None = None
        notice: Notice | None = None
        chart = self.query_one(LossChart)
        for event in events:
            if isinstance(event, LogLine):
                lines.append(event.line)
            elif isinstance(event, Progress):
                progress = event
            elif isinstance(event, Metric):
                chart.add(event.step, event.values)
                self._curves.add({"step": event.step, "values": event.values})
                self._values.update(event.values)
                self._unjudged = True
            elif isinstance(event, Notice):
                notice = event
                lines.append(f"{event.level}: {event.text}")
            elif isinstance(event, Cost):
                self._values["usd"] = event.usd
            elif isinstance(event, MachineCost):
                self._values |= {"machine_usd": event.usd, "machine_usd_per_hour": event.usd_per_hour}
                if event.budget is not None:
                    self._values["budget"] = event.budget
        if self._unjudged and not self.has_class("-with-metrics"):
            self.add_class("-with-metrics")
            self._judge()
            if self.query_one(LogPanel).is_idle:
                self.call_after_refresh(self._take_focus)
        if notice is not None:
            self._show_notice(notice)
        if progress is not None:
            self._show_progress(progress)
        self._show_figures()
        if lines:
            self.query_one(LogPanel).add(lines)

    def on_resize(self) -> None:
        self._show_figures()

    def _show_figures(self) -> None:
        shown = self.query_one("#figures", Static)
        shown.update(figures(self._values, self.size.width))
        shown.display = bool(self._values)

    def _show_notice(self, notice: Notice) -> None:
        label = self.query_one("#notices", Label)
        label.set_class(notice.level == "info", "-info")
        label.update("\n".join(log_line(line) for line in notice.text.split("\n")))
        label.add_class("-told")

    def _show_progress(self, progress: Progress) -> None:
        count = f"{progress.done:g} of {progress.total:g} {progress.unit}" if progress.total else progress.unit
        parts = [count, f"{duration(time.monotonic() - self._began)} so far"]
        self._values.pop("machine_usd_at_end", None)
        if progress.eta_seconds:
            parts.append(f"about {duration(progress.eta_seconds)} left")
            if "machine_usd" in self._values:
                more = self._values["machine_usd_per_hour"] * progress.eta_seconds / 3600
                self._values["machine_usd_at_end"] = self._values["machine_usd"] + more
        if progress.unit == "steps":
            self._planned = int(progress.total) or None
        self.query_one("#progress-label", Label).update("  ·  ".join(part for part in parts if part))
        self.query_one(ProgressBar).update(total=progress.total or None, progress=progress.done)

    def _judge(self) -> None:
        """Have the curves judged, beside the screen's work: one look at a time."""
        if self._unjudged and not self._judging:
            self._unjudged, self._judging = False, True
            self._diagnose(Curves(**{field.name: list(getattr(self._curves, field.name)) for field in fields(Curves)}))

    @work(thread=True, exit_on_error=False, group="diagnosis")
    def _diagnose(self, curves: Curves) -> None:
        try:
            found = diagnose(curves, finished=False, planned=self._planned)
            self.app.call_from_thread(self._show_diagnosis, found)
        finally:
            self._judging = False

    def _show_diagnosis(self, found: Diagnosis) -> None:
        said = self.query_one("#diagnosis", Static)
        said.update(diagnosed(found))
        said.display = True


def diagnosed(found: Diagnosis) -> Content:
    """What the curves say, the state in a colour of its own."""
    style = "$text-error" if not found.good else "$muted" if found.state == "too few points" else "$text-success"
    return Content.assemble((found.state, f"bold {style}"), (f"  {found.sentence}", "$muted"))


_FIGURES = (
    ("loss", "train loss", "{:.3f}"),
    ("eval_loss", "validation loss", "{:.3f}"),
    ("tokens_per_second", "tokens/s", "{:,.0f}"),
    ("usd", "spent", "${:.2f}"),
    ("machine_usd", "rented machines", "${:.2f}"),
    ("machine_usd_per_hour", "an hour", "${:.2f}"),
    ("machine_usd_at_end", "at the end", "about ${:.2f}"),
    ("budget", "budget", "${:.2f}"),
    ("unique_token_ratio", "saved by sharing", "{:.1f}×"),
    ("memory_gb", "memory", "{:.1f} GB"),
    ("epoch", "epoch", "{:.2f}"),
)
_GAP = "    "


def figures(values: dict[str, float], width: int) -> Content:
    """The latest values with their names, as many a line as fit."""
    lines: list[Content] = []
    for name, label, form in _FIGURES:
        if name not in values:
            continue
        part = Content.assemble((form.format(values[name]), "bold"), (f" {label}", "$muted"))
        if lines and lines[-1].cell_length + len(_GAP) + part.cell_length <= width:
            lines[-1] += Content(_GAP) + part
        else:
            lines.append(part)
    return Content("\n").join(lines)
