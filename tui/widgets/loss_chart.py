"""Loss curves in the terminal: the raw training loss as a dim cloud, its moving average and the validation loss as lines."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from rich.segment import Segment
from rich.style import Style
from textual.binding import Binding
from textual.reactive import reactive
from textual.strip import Strip
from textual.widget import Widget

from tui.widgets.braille import BrailleCanvas

_RAW, _SMOOTH, _VALIDATION = 0, 1, 2
_AXIS_WIDTH = 8


@dataclass
class Curve:
    """Points of one series, in order of the step."""

    steps: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)

    def add(self, step: int, value: float) -> None:
        self.steps.append(step)
        self.values.append(value)


class LossChart(Widget, can_focus=True):
    """Draws at most one column of dots a pixel column, whatever the number of points.

    Call `add(step, values)` with what a metric event holds; `loss` and `eval_loss` are drawn.
    """

    DEFAULT_CSS = """
    LossChart { height: 1fr; min-height: 8; border: round $panel; border-title-color: $text-muted; }
    LossChart:focus { border: round $accent; }
    """
    COMPONENT_CLASSES = {"loss-chart--raw", "loss-chart--smooth", "loss-chart--validation", "loss-chart--axis"}
    DEFAULT_CSS += """
    LossChart .loss-chart--raw { color: $foreground 38%; }
    LossChart .loss-chart--smooth { color: $text-primary; }
    LossChart .loss-chart--validation { color: $text-warning; }
    LossChart .loss-chart--axis { color: $foreground 60%; }
    """
    BINDINGS = [
        Binding("y", "toggle_log", "Log scale", tooltip="Switch the loss axis between linear and logarithmic"),
        Binding("s", "cycle_smoothing", "Smoothing", tooltip="How much the training loss is averaged"),
    ]

    log_scale: reactive[bool] = reactive(False)
    smoothing: reactive[float] = reactive(0.9)

    def __init__(self, *, ascii_only: bool = False, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self.border_title = "loss"
        self._ascii_only = ascii_only
        self.training, self.validation, self.average = Curve(), Curve(), Curve()
        self._sum = self._weight = 0.0

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """Take over one metric event; steps seen before (after a resume) are left out."""
        loss, validation = values.get("loss"), values.get("eval_loss")
        if loss is not None and math.isfinite(loss) and not (self.training.steps and step <= self.training.steps[-1]):
            self.training.add(step, loss)
            self.average.add(step, self._averaged(loss))
        if (
            validation is not None
            and math.isfinite(validation)
            and not (self.validation.steps and step <= self.validation.steps[-1])
        ):
            self.validation.add(step, validation)
        self.refresh()

    def _averaged(self, loss: float) -> float:
        """Exponential moving average, corrected for its beginning."""
        self._sum = self.smoothing * self._sum + (1 - self.smoothing) * loss
        self._weight = self.smoothing * self._weight + (1 - self.smoothing)
        return self._sum / self._weight

    def watch_smoothing(self) -> None:
        self.average, self._sum, self._weight = Curve(), 0.0, 0.0
        for step, loss in zip(self.training.steps, self.training.values, strict=True):
            self.average.add(step, self._averaged(loss))
        self.refresh()

    def action_toggle_log(self) -> None:
        self.log_scale = not self.log_scale

    def action_cycle_smoothing(self) -> None:
        levels = [0.0, 0.6, 0.9, 0.97]
        self.smoothing = levels[(levels.index(self.smoothing) + 1) % len(levels)]

    @property
    def summary(self) -> str:
        """One line that says what the picture shows; also what a screen reader gets."""
        return summarise(self.training, self.validation)

    # Drawing

    def render_lines(self, crop) -> list[Strip]:  # type: ignore[no-untyped-def]
        self._picture = self._draw(self.size.width, self.size.height)
        return super().render_lines(crop)

    def render_line(self, y: int) -> Strip:
        segments = self._picture[y] if y < len(self._picture) else []
        return Strip(segments).adjust_cell_length(self.size.width).apply_style(self.rich_style)

    def _draw(self, width: int, height: int) -> list[list[Segment]]:
        axis = self.get_component_rich_style("loss-chart--axis", partial=True)
        if not self.training.values and not self.validation.values:
            return [[Segment("waiting for the first step …", axis)]]
        columns, rows = max(4, width - _AXIS_WIDTH), max(2, height - 2)
        low, high = self._range()
        first, last = self._step_range()
        canvas = BrailleCanvas(columns, rows)

        def x_of(step: int) -> int:
            return round((step - first) / max(1, last - first) * (2 * columns - 1))

        def y_of(value: float) -> int:
            return round((1 - (self._scaled(value) - low) / (high - low)) * (4 * rows - 1))

        for series, curve, joined in (
            (_RAW, self.training, False),
            (_SMOOTH, self.average, True),
            (_VALIDATION, self.validation, True),
        ):
            _plot(canvas, curve, x_of, y_of, series, joined)
        styles = {
            _RAW: self.get_component_rich_style("loss-chart--raw", partial=True),
            _SMOOTH: self.get_component_rich_style("loss-chart--smooth", partial=True),
            _VALIDATION: self.get_component_rich_style("loss-chart--validation", partial=True),
        }
        lines = [self._legend(styles, axis)]
        for row in range(rows):
            value = high - (high - low) * row / max(1, rows - 1)
            label = f"{self._unscaled(value):7.3g} " if row % 4 == 0 or row == rows - 1 else " " * _AXIS_WIDTH
            cells = canvas.row(row, self._ascii_only)
            lines.append(
                [
                    Segment(label, axis),
                    *(Segment(text, styles.get(series) if series is not None else None) for text, series in cells),
                ]
            )
        left, right = f"{first}", f"step {last}"
        lines.append([Segment(" " * _AXIS_WIDTH + left + right.rjust(max(1, columns - len(left))), axis)])
        return lines

    def _legend(self, styles: Mapping[int, Style], axis: Style) -> list[Segment]:
        line, entries = ("-" if self._ascii_only else "━"), []
        if self.average.values:
            entries += [Segment(f"{line}{line} train {self.average.values[-1]:.3f}  ", styles[_SMOOTH])]
        if self.validation.values:
            best = min(range(len(self.validation.values)), key=self.validation.values.__getitem__)
            best_text = f"best {self.validation.values[best]:.3f} at {self.validation.steps[best]}"
            text = f"{line}{line} validation {self.validation.values[-1]:.3f} ({best_text})"
            entries += [Segment(text, styles[_VALIDATION])]
        return [Segment(" " * _AXIS_WIDTH, axis), *entries, Segment("  log" if self.log_scale else "", axis)]

    def _scaled(self, value: float) -> float:
        return math.log10(max(value, 1e-6)) if self.log_scale else value

    def _unscaled(self, value: float) -> float:
        return 10**value if self.log_scale else value

    def _range(self) -> tuple[float, float]:
        values = [self._scaled(value) for value in (*self.training.values, *self.validation.values)]
        low, high = min(values), max(values)
        if not self.log_scale:
            low = min(low, 0.0) if low < 0.3 * high else low
        return (low, high) if high > low else (low - 0.5, high + 0.5)

    def _step_range(self) -> tuple[int, int]:
        steps = [curve.steps[end] for curve in (self.training, self.validation) if curve.steps for end in (0, -1)]
        return min(steps), max(steps)


def _plot(canvas: BrailleCanvas, curve: Curve, x_of, y_of, series: int, joined: bool) -> None:  # type: ignore[no-untyped-def]
    """Lowest and highest point of each pixel column; joined curves are connected from column to column."""
    extremes: dict[int, tuple[int, int, int]] = {}
    for step, value in zip(curve.steps, curve.values, strict=True):
        x, y = x_of(step), y_of(value)
        top, bottom, _ = extremes.get(x, (y, y, y))
        extremes[x] = (min(top, y), max(bottom, y), y)
    previous: tuple[int, int] | None = None
    for x, (top, bottom, last) in extremes.items():
        if joined and previous is not None:
            _line(canvas, previous, (x, last), series)
        if joined:
            canvas.column(x, top, bottom, series)
        else:
            canvas.dot(x, top, series)
            canvas.dot(x, bottom, series)
        previous = (x, last)


def _line(canvas: BrailleCanvas, start: tuple[int, int], end: tuple[int, int], series: int) -> None:
    length = max(abs(end[0] - start[0]), abs(end[1] - start[1]), 1)
    for part in range(length + 1):
        x = start[0] + (end[0] - start[0]) * part / length
        y = start[1] + (end[1] - start[1]) * part / length
        canvas.dot(round(x), round(y), series)


def summarise(training: Curve, validation: Curve) -> str:
    """ "train 0.354 falling, validation 0.470 flat, best 0.465 at step 800" """
    parts = []
    for name, curve in (("train", training), ("validation", validation)):
        if curve.values:
            parts.append(f"{name} {curve.values[-1]:.3f} {_trend(curve.values)}")
    if validation.values:
        best = min(range(len(validation.values)), key=validation.values.__getitem__)
        parts.append(f"best {validation.values[best]:.3f} at step {validation.steps[best]}")
    return ", ".join(parts) or "no points yet"


def _trend(values: Sequence[float]) -> str:
    """The mean of the last fifth against the fifth before it, 2 % apart or not."""
    part = max(1, len(values) // 5)
    if len(values) < 2 * part:
        return "just begun"
    now, before = sum(values[-part:]) / part, sum(values[-2 * part : -part]) / part
    return "falling" if now < 0.98 * before else "rising" if now > 1.02 * before else "flat"
