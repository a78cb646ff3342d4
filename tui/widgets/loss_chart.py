"""Loss curves in the terminal: the raw training loss as a dim cloud, its moving average and the validation loss as lines."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding
from textual.reactive import reactive
from textual.strip import Strip
from textual.widget import Widget

from tui.widgets.braille import BrailleCanvas, has_braille
from tui.widgets.curve import Average, Column, Curve, column_of, step_in, summarise
from tui.widgets.ticks import labels, log_ticks, ticks, whole_ticks

_CURSOR, _RAW, _SMOOTH, _VALIDATION = range(4)
_LETTERS = "|.*o"
"""What a cell of each series is on terminals without braille."""
_AXIS_WIDTH = 8
"""Cells at the left: seven of a label and the axis."""
_DASH = 4
"""Dots of a dash, where lines cannot be told apart by colour."""
_LEAST = 1e-6
"""What a logarithmic axis takes lower losses for."""
_NARROWEST = 4
"""Steps that zooming in stops at."""
_LEVELS = (0.0, 0.6, 0.9, 0.97)
USUAL = 0.9
"""Weight of what was before in the average."""


class LossChart(Widget, can_focus=True):
    """Draws at most one column of dots a pixel column, whatever the number of points.

    Call `add(step, values)` with what a metric event holds; `loss` and `eval_loss` are drawn.
    """

    DEFAULT_CSS = """
    LossChart { height: 1fr; min-height: 8; border: round $panel; border-title-color: $text-muted; border-subtitle-color: $text-muted; }
    LossChart:focus { border: round $accent; }
    LossChart.-ascii { border: ascii $panel; }
    LossChart.-ascii:focus { border: ascii $accent; }
    LossChart .loss-chart--raw { color: $foreground 38%; }
    LossChart .loss-chart--smooth { color: $text-primary; }
    LossChart .loss-chart--validation { color: $text-warning; }
    LossChart .loss-chart--axis { color: $foreground 60%; }
    LossChart .loss-chart--cursor { color: $accent; }
    """
    COMPONENT_CLASSES = {f"loss-chart--{part}" for part in ("raw", "smooth", "validation", "axis", "cursor")}
    BINDINGS = [
        Binding("left", "read(-1)", "Read left", tooltip="Read the values one point to the left", show=False, id="read-left"),
        Binding("right", "read(1)", "Read right", tooltip="Read the values one point to the right", show=False, id="read-right"),
        Binding("home", "read_end(0)", "Read first", tooltip="Read the first point in view", show=False, id="read-first"),
        Binding("end", "read_end(1)", "Read last", tooltip="Read the last point in view", show=False, id="read-last"),
        Binding("escape", "unread", "Stop reading", tooltip="Take the cursor off the chart", show=False, id="stop-reading"),
        Binding("plus,equals_sign", "zoom(0.5)", "Zoom in", key_display="+", tooltip="Half as many steps", show=False, id="zoom-in"),
        Binding("minus", "zoom(2)", "Zoom out", key_display="-", tooltip="Twice as many steps", show=False, id="zoom-out"),
        Binding("0", "whole", "Whole curve", tooltip="Show the whole curve again", show=False, id="whole"),
        Binding("shift+left", "pan(-1)", "Earlier", tooltip="Move the zoomed curve a quarter to the left", show=False, id="earlier"),
        Binding("shift+right", "pan(1)", "Later", tooltip="Move the zoomed curve a quarter to the right", show=False, id="later"),
        Binding("y", "toggle_log", "Log scale", tooltip="Switch the loss axis between linear and logarithmic", show=False, id="log-scale"),
        Binding("s", "cycle_smoothing", "Smoothing", tooltip="How much the training loss is averaged", show=False, id="smoothing"),
    ]

    log_scale: reactive[bool] = reactive(False, init=False)
    smoothing: reactive[float] = reactive(USUAL, init=False)
    cursor: reactive[int | None] = reactive(None, init=False)
    """The step whose values are read out; None for none."""
    until: reactive[int | None] = reactive(None, init=False)
    """Draw no point beyond this step; None draws all."""

    def __init__(self, *, ascii_only: bool | None = None, id: str | None = None, classes: str | None = None) -> None:
        """`ascii_only` None asks the terminal's locale."""
        super().__init__(id=id, classes=classes)
        self._ascii_only = not has_braille() if ascii_only is None else ascii_only
        self.set_class(self._ascii_only, "-ascii")
        self.training, self.validation, self.average = Curve(), Curve(), Curve()
        self._averaged = Average(USUAL)
        self._window: tuple[int, int] | None = None
        self._picture: list[Strip] | None = None
        self.border_title = "loss"

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """Take over one metric event; steps seen before (after a resume) are left out, and what is no number."""
        loss, validation = _number(values.get("loss")), _number(values.get("eval_loss"))
        before = self.whole[1]
        if loss is not None and self.training.ends_before(step):
            self.training.add(step, loss)
            self.average.add(step, self._averaged.add(loss))
        if validation is not None and self.validation.ends_before(step):
            self.validation.add(step, validation)
        if self._window is not None and self._window[1] == before < step:  # what shows the end goes on showing it
            self._window = (self._window[0] + step - before, step)
        self.redraw()

    @property
    def whole(self) -> tuple[int, int]:
        """First and last step of all points."""
        ends = [curve.steps[end] for curve in (self.training, self.validation) if curve.steps for end in (0, -1)]
        return (min(ends), max(ends)) if ends else (0, 0)

    @property
    def window(self) -> tuple[int, int]:
        """First and last step in view."""
        return self._window or self.whole

    @property
    def summary(self) -> str:
        """One line that says what the picture shows; also what a screen reader gets."""
        return summarise(self.training, self.validation)

    # Looking at it

    def watch_smoothing(self) -> None:
        self.average, self._averaged = Curve(), Average(self.smoothing)
        for step, loss in zip(self.training.steps, self.training.values, strict=True):
            self.average.add(step, self._averaged.add(loss))
        self._told_anew()

    def watch_log_scale(self) -> None:
        self._told_anew()

    def watch_cursor(self) -> None:
        self.redraw()

    def watch_until(self) -> None:
        self.redraw()

    def watch_has_focus(self, focused: bool) -> None:
        super().watch_has_focus(focused)
        arrows = "<- -> read" if self._ascii_only else "←→ read"
        self.border_subtitle = f"{arrows}  + - zoom  0 whole  y log  s smooth" if focused else ""

    def action_toggle_log(self) -> None:
        self.log_scale = not self.log_scale

    def action_cycle_smoothing(self) -> None:
        self.smoothing = _LEVELS[(_LEVELS.index(self.smoothing) + 1) % len(_LEVELS)]

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Escape is the screen's unless the cursor is shown."""
        return self.cursor is not None if action == "unread" else True

    def action_unread(self) -> None:
        self.cursor = None

    def action_read_end(self, end: int) -> None:
        self._read(self.window[end])

    def action_read(self, way: int) -> None:
        """To the next point that lies in another column; from the end of the curve when nothing was read."""
        curve = self._read_curve
        if not curve.steps or self.cursor is None:
            self._read(self.window[1])
            return
        window, dots = self.window, self._dots
        step = step_in(column_of(self.cursor, *window, dots) + way, *window, dots)
        found = curve.beyond(max(step, self.cursor + 1) if way > 0 else min(step, self.cursor - 1), way)
        self._read(found)
        if not window[0] <= found <= window[1]:
            self.action_pan(way)

    @property
    def _read_curve(self) -> Curve:
        return self.training if self.training.steps else self.validation

    def _read(self, step: int) -> None:
        """Read the point nearest to a step."""
        found = self._read_curve.nearest(step if self.until is None else min(step, self.until))
        self.cursor = found[0] if found else None

    def action_zoom(self, factor: float) -> None:
        """Around the cursor, else towards the end."""
        self._zoom(factor, self.window[1] if self.cursor is None else self.cursor)

    def action_pan(self, way: int) -> None:
        if self._window is not None:
            first, last = self._window
            self._show(first + way * max(1, (last - first) // 4), last - first)

    def action_whole(self) -> None:
        self._window = None
        self._told_anew()

    def _zoom(self, factor: float, around: int) -> None:
        """Show `factor` times as many steps, with one of them staying where it is."""
        first, last = self.window
        span = max(_NARROWEST, round((last - first) * factor))
        self._show(around - round((around - first) / max(1, last - first) * span), span)

    def _show(self, first: int, span: int) -> None:
        """Show `span` steps from `first` on, or as near as there are any."""
        begin, end = self.whole
        first = max(begin, min(first, end - span))
        self._window = None if span >= end - begin else (first, first + span)
        self._told_anew()

    def _told_anew(self) -> None:
        """Say in the title what is not as usual."""
        told = ["loss", *(["log scale"] if self.log_scale else [])]
        told += [f"smoothing {self.smoothing:g}"] if self.smoothing != USUAL else []
        told += [f"steps {self._window[0]:,} to {self._window[1]:,}"] if self._window else []
        self.border_title = (", " if self._ascii_only else " · ").join(told)
        self.redraw()

    def on_mouse_move(self, event: events.MouseMove) -> None:
        step = self._step_under(event)
        if step is not None:
            self._read(step)

    def on_leave(self) -> None:
        self.cursor = None

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        self._wheel(event, 0.8)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        self._wheel(event, 1.25)

    def _wheel(self, event: events.MouseEvent, factor: float) -> None:
        step = self._step_under(event)
        if step is not None:
            event.stop()
            self._zoom(factor, step)

    def _step_under(self, event: events.MouseEvent) -> int | None:
        """The step the pointer is on; None beside the curves."""
        place = event.get_content_offset(self)
        if place is None or place.x < _AXIS_WIDTH or not (self.training.steps or self.validation.steps):
            return None
        return step_in(2 * (place.x - _AXIS_WIDTH), *self.window, self._dots)

    # Drawing

    @property
    def _dots(self) -> int:
        """Columns of dots."""
        return 2 * max(4, self.size.width - _AXIS_WIDTH)

    def redraw(self) -> None:
        """Draw anew before the next look at it."""
        if self._picture is not None:
            self._picture = None
            self.refresh()

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._picture = None

    def on_resize(self) -> None:
        self._picture = None

    def render_line(self, y: int) -> Strip:
        if self._picture is None:
            width, style = self.size.width, self.rich_style
            lines = self._draw(width, self.size.height)
            self._picture = [Strip(line).adjust_cell_length(width).apply_style(style) for line in lines]
        return self._picture[y] if y < len(self._picture) else Strip.blank(self.size.width, self.rich_style)

    def _draw(self, width: int, height: int) -> list[list[Segment]]:
        styles = {
            series: self.get_component_rich_style(f"loss-chart--{name}")
            for series, name in ((_CURSOR, "cursor"), (_RAW, "raw"), (_SMOOTH, "smooth"), (_VALIDATION, "validation"))
        }
        axis = self.get_component_rich_style("loss-chart--axis")
        if not self.training.values and not self.validation.values:
            return [[Segment("waiting for the first step " + ("..." if self._ascii_only else "…"), axis)]]
        cells, rows = max(4, width - _AXIS_WIDTH), max(2, height - 2)
        window, dots = self.window, 2 * cells
        curves = {
            _RAW: self.training.columns(*window, dots, self.until),
            _SMOOTH: self.average.joined(*window, dots, self.until),
            _VALIDATION: self.validation.joined(*window, dots, self.until),
        }
        scaled = _logarithm if self.log_scale else float
        low, high = self._range(curves, scaled)
        canvas, lowest = BrailleCanvas(cells, rows), 4 * rows - 1

        def y_of(value: float) -> int:
            return round((high - scaled(value)) / (high - low) * lowest)

        if self.cursor is not None and window[0] <= self.cursor <= window[1]:
            x = column_of(self.cursor, *window, dots)
            for y in range(0, 4 * rows, 2):
                canvas.dot(x, y, _CURSOR)
        for column in curves[_RAW]:
            top, bottom = y_of(column.high), y_of(column.low)
            for y in (top, *range(top + 1 + (column.x + top) % 2, bottom, 2), bottom):  # a cloud, not a wall
                canvas.dot(column.x, y, _RAW)
        for series in (_SMOOTH, _VALIDATION):
            dash = _DASH if series == _VALIDATION and self.app.no_color and not self._ascii_only else 0
            _join(canvas, [Column(at.x, y_of(at.high), y_of(at.low), y_of(at.last)) for at in curves[series]], series, dash)
        return [
            self._legend(styles, axis),
            *self._rows(canvas, self._losses(low, high, rows, y_of), styles, axis),
            [Segment(_steps_line(window, cells), axis)],
        ]

    def _rows(self, canvas: BrailleCanvas, told: Mapping[int, str], styles: Mapping[int, Style], axis: Style) -> list[list[Segment]]:
        """Each row of the canvas behind its label and the axis."""
        tick, line = ("+", "|") if self._ascii_only else ("┤", "│")
        lines = []
        for row in range(canvas.height):
            edge = f"{told[row]:>{_AXIS_WIDTH - 1}}{tick}" if row in told else f"{line:>{_AXIS_WIDTH}}"
            runs = canvas.row(row, _LETTERS if self._ascii_only else "")
            lines.append([Segment(edge, axis), *(Segment(text, None if series is None else styles[series]) for text, series in runs)])
        return lines

    def _losses(self, low: float, high: float, rows: int, y_of: Callable[[float], int]) -> dict[int, str]:
        """Row → its label: round losses."""
        most = max(3, rows // 3)
        if self.log_scale:
            return {y_of(value) // 4: f"{value:g}" for value in log_ticks(10**low, 10**high, most)}
        values = ticks(low, high, most)
        return {y_of(value) // 4: text for value, text in zip(values, labels(values), strict=True)}

    def _legend(self, styles: Mapping[int, Style], axis: Style) -> list[Segment]:
        """What the lines are, with their last values, or those at the cursor."""
        dots, solid, dashed = ("..", "**", "oo") if self._ascii_only else ("··", "━━", "╍╍" if self.app.no_color else "━━")
        found = [Segment(" ", axis)]
        at = self.cursor if self.cursor is not None else self.until
        if self.cursor is not None:
            found += [Segment(f"step {self.cursor:,}  ", styles[_CURSOR])]
            if loss := self.training.nearest(self.cursor):
                found += [Segment(dots, styles[_RAW]), Segment(f" loss {loss[1]:.3f}  ", axis)]
        if train := self.average.at(self.whole[1] if at is None else at):
            found += [Segment(f"{solid} {'train' if self.cursor is None else 'average'} {train[1]:.3f}  ", styles[_SMOOTH])]
        if self.cursor is not None:
            if near := self.validation.nearest(self.cursor):
                place = "" if near[0] == self.cursor else f" at {near[0]:,}"
                found += [Segment(f"{dashed} validation {near[1]:.3f}{place}", styles[_VALIDATION])]
        elif best := self.validation.best(self.until):
            now = self.validation.at(self.whole[1] if at is None else at)
            text = f"{dashed} validation {now[1] if now else best[1]:.3f} (best {best[1]:.3f} at {best[0]:,})"
            found += [Segment(text, styles[_VALIDATION])]
        return found

    def _range(self, curves: Mapping[int, list[Column]], scaled: Callable[[float], float]) -> tuple[float, float]:
        """Lowest and highest loss in view, as they are scaled; from 0 where that is near."""
        columns = [column for series in curves.values() for column in series]
        if not columns:
            return 0.0, 1.0
        low = scaled(min(column.low for column in columns))
        high = scaled(max(column.high for column in columns))
        if not self.log_scale and 0 < low < 0.3 * high:
            low = 0.0
        return (low, high) if high > low else (low - 0.5, high + 0.5)


def _logarithm(loss: float) -> float:
    return math.log10(max(loss, _LEAST))


def _number(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _join(canvas: BrailleCanvas, columns: list[Column], series: int, dash: int) -> None:
    """A line through columns whose values are heights on the canvas."""
    previous: tuple[int, int] | None = None
    for x, top, bottom, last in columns:
        here = (x, int(last))
        canvas.line(previous or here, here, series, dash)
        canvas.column(x, int(top), int(bottom), series)
        previous = here


def _steps_line(window: tuple[int, int], cells: int) -> str:
    """Round steps below their columns."""
    line = f"{'step':>{_AXIS_WIDTH - 1}} "
    for step in whole_ticks(*window, max(2, cells // 12)):
        text = f"{step:,}"
        begin = _AXIS_WIDTH + column_of(step, *window, 2 * cells) // 2 - len(text) // 2
        begin = min(max(begin, _AXIS_WIDTH), _AXIS_WIDTH + cells - len(text))
        if begin > len(line) or begin == _AXIS_WIDTH == len(line):
            line = line.ljust(begin) + text
    return line
