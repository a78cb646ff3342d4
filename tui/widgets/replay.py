"""A finished training run played again: its curve grows, and below it stands what the run could say of itself by then."""

from __future__ import annotations

import time
from bisect import bisect_right
from dataclasses import fields

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.content import Content
from textual.reactive import reactive
from textual.widgets import Static

from core.training.diagnosis import diagnose
from core.training.metrics import Curves, Points
from tui.widgets.loss_chart import LossChart
from tui.widgets.run_panel import SECONDS_BETWEEN_DIAGNOSES, diagnosed

SECONDS_OF_A_RUN = 12.0
"""How long a run is played at its usual speed."""
SECONDS_OF_A_FRAME = 0.1
_SPEEDS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
_SEEK = 0.05
"""Share of the run that a key goes back or on."""


class Replay(Vertical):
    """The loss chart with what plays it. Without being played it shows the whole run."""

    DEFAULT_CSS = """
    Replay { height: 1fr; }
    Replay #played { height: auto; max-height: 2; width: 1fr; }
    """
    BINDINGS = [
        Binding("space", "play", "Play", tooltip="Play the run again, or pause", id="play"),
        Binding("comma", "seek(-1)", "Back", key_display=",", tooltip="Go back in the run", show=False, id="seek-back"),
        Binding("full_stop", "seek(1)", "On", key_display=".", tooltip="Go on in the run", show=False, id="seek-on"),
        Binding("less_than_sign", "speed(-1)", "Slower", key_display="<", tooltip="Play the run slower", show=False, id="slower"),
        Binding("greater_than_sign", "speed(1)", "Faster", key_display=">", tooltip="Play the run faster", show=False, id="faster"),
        Binding("escape", "whole", "Whole run", tooltip="End playing", show=False, id="end-replay"),
    ]

    at: reactive[float | None] = reactive(None, init=False)
    """How much of the run is shown, from 0 to 1; None while it is not played."""

    def __init__(self, curves: Curves, diagnosis: str = "", id: str | None = None) -> None:
        """`diagnosis` is what was said at the end."""
        super().__init__(id=id)
        self._curves, self._diagnosis = curves, diagnosis
        self._speed, self._playing, self._drawn = 1.0, False, 0.0
        self._found, self._judged = Content(""), 0.0

    def compose(self) -> ComposeResult:
        yield LossChart(id="loss")
        yield Static("", id="played")

    def on_mount(self) -> None:
        chart = self.query_one(LossChart)
        points = [(step, "loss", value) for step, value in self._curves.train]
        points += [(step, "eval_loss", value) for step, value in self._curves.validation]
        for step, name, value in sorted(points):
            chart.add(step, {name: value})
        self._timer = self.set_interval(SECONDS_OF_A_FRAME, self._play_on, pause=True)
        self._tell()

    @property
    def step(self) -> int:
        """The step that is shown last."""
        first, last = self.query_one(LossChart).whole
        return last if self.at is None else first + round(self.at * (last - first))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Escape is the screen's when nothing is played."""
        return self.at is not None if action == "whole" else True

    def on_click(self, event: events.Click) -> None:
        if event.widget is self.query_one("#played"):
            self.action_play()

    def action_play(self) -> None:
        if not self._playing and (self.at is None or self.at >= 1):
            self.at = 0.0
        self._set_playing(not self._playing)

    def action_seek(self, way: int) -> None:
        self.at = min(1.0, max(0.0, (1.0 if self.at is None else self.at) + way * _SEEK))

    def action_speed(self, way: int) -> None:
        self._speed = _SPEEDS[min(len(_SPEEDS) - 1, max(0, _SPEEDS.index(self._speed) + way))]
        self._tell()

    def action_whole(self) -> None:
        self._set_playing(False)
        self.at = None

    def _set_playing(self, playing: bool) -> None:
        self._playing, self._drawn = playing, time.monotonic()
        (self._timer.resume if playing else self._timer.pause)()
        self._tell()

    def _play_on(self) -> None:
        now = time.monotonic()
        passed, self._drawn = now - self._drawn, now
        self.at = min(1.0, (self.at or 0.0) + passed * self._speed / SECONDS_OF_A_RUN)
        if self.at >= 1:
            self._set_playing(False)

    def watch_at(self) -> None:
        self.query_one(LossChart).until = None if self.at is None else self.step
        self._tell()
        self.refresh_bindings()

    def _tell(self) -> None:
        """Where in the run this is, and what it could say of itself."""
        said = self.query_one("#played", Static)
        if self.at is None:
            state, _, sentence = self._diagnosis.partition(": ")
            how = "space on the chart, or a click here, plays the run again"
            said.update(Content.assemble((state, "bold"), (f"  {sentence}  ", "$muted"), (how, "$faint")))
            return
        last = self.query_one(LossChart).whole[1]
        keys = f"{'space pauses' if self._playing else 'space plays'}  , . seek  < > speed  esc ends"
        place = f"{'▶' if self._playing else '‖'} step {self.step:,} of {last:,}  ×{self._speed:g}"
        if not self._playing or time.monotonic() - self._judged > SECONDS_BETWEEN_DIAGNOSES:
            self._found = diagnosed(diagnose(_until(self._curves, self.step), finished=False, planned=last))
            self._judged = time.monotonic()
        said.update(Content.assemble((place, "bold $text-accent"), (f"  {keys}\n", "$faint"), self._found))


def _until(curves: Curves, step: int) -> Curves:
    """The curves as they were when a step was done."""

    def cut(points: Points) -> Points:
        return points[: bisect_right(points, step, key=lambda point: point[0])]

    return Curves(**{field.name: cut(getattr(curves, field.name)) for field in fields(Curves)})
