"""The drawings of a report as inline SVG.

Places are shares of the drawing (per cent), so that it takes any width while its letters keep their size; curves lie in a stretched
drawing of their own, with strokes that do not stretch. Colours come from classes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from markupsafe import Markup

from core.evaluation.report_blocks import Tone
from core.evaluation.report_content import LossCurve, PassRate, Points
from core.evaluation.report_words import signed

_SIDE = 1000
"""Units of the stretched drawing, both ways."""
_LOGARITHMIC_FROM = 20.0
"""Highest by lowest loss from which a linear axis would hide what happens below."""


def bar(share: float, tone: Tone | str = "") -> Markup:
    """A bar of 0 to 1."""
    return Markup('<svg class="bar" height="10" aria-hidden="true">{}{}</svg>').format(
        Markup('<rect class="track" width="100%" height="10" rx="2"/>'), _filled(share, tone)
    )


def interval_bar(found: PassRate, tone: Tone | str = "") -> Markup:
    """A pass rate as a bar, its interval as a whisker, what is required as a mark."""
    parts = [
        Markup('<rect class="track" y="8" width="100%" height="12" rx="2"/>'),
        Markup('<g transform="translate(0 8)">{}</g>').format(_filled(found.rate, tone, 12)),
    ]
    if found.minimum is not None:
        at = _percent(found.minimum)
        parts.append(Markup('<line class="required" x1="{0}" x2="{0}" y1="2" y2="26"/>').format(at))
    if found.interval is not None:
        low, high = map(_percent, found.interval)
        parts.append(Markup('<line class="whisker" x1="{}" x2="{}" y1="14" y2="14"/>').format(low, high))
        parts += [Markup('<line class="whisker" x1="{0}" x2="{0}" y1="9" y2="19"/>').format(end) for end in (low, high)]
    return Markup('<svg class="bar rate" height="28" aria-hidden="true">{}</svg>').format(Markup("").join(parts))


def difference_chart(difference: float, interval: tuple[float, float], margin: float | None) -> Markup:
    """The difference of two pass rates with its interval, beside no difference and what is allowed."""
    reach = max(abs(value) for value in (difference, *interval, margin or 0.0, 0.05)) * 1.15
    ticks = [tick for tick in _linear_ticks(-reach, reach, 5) if abs(tick) <= reach]

    def place(value: float) -> str:
        return _percent((value + reach) / (2 * reach))

    parts = [Markup('<line class="axis" x1="0" x2="100%" y1="56" y2="56"/>')]
    for tick in ticks:
        parts.append(Markup('<line class="grid" x1="{0}" x2="{0}" y1="6" y2="56"/>').format(place(tick)))
        parts.append(
            Markup('<text class="tick" x="{}" y="74" text-anchor="middle">{}</text>').format(place(tick), signed(tick))
        )
    parts.append(Markup('<line class="zero" x1="{0}" x2="{0}" y1="6" y2="56"/>').format(place(0.0)))
    if margin:
        parts.append(Markup('<line class="required" x1="{0}" x2="{0}" y1="6" y2="56"/>').format(place(-margin)))
    low, high = map(place, interval)
    parts.append(Markup('<line class="whisker" x1="{}" x2="{}" y1="31" y2="31"/>').format(low, high))
    parts += [Markup('<line class="whisker" x1="{0}" x2="{0}" y1="24" y2="38"/>').format(end) for end in (low, high)]
    parts.append(Markup('<circle class="dot" cx="{}" cy="31" r="6"/>').format(place(difference)))
    return Markup('<svg class="chart difference" height="80" aria-hidden="true">{}</svg>').format(
        Markup("").join(parts)
    )


def loss_chart(curve: LossCurve) -> Markup:
    """Training losses as a dim cloud, their average and the validation loss as lines, the best step marked."""
    axis = LossAxis(curve)
    parts: list[Markup] = []
    for value in axis.value_ticks:
        at = _percent(axis.height(value))
        parts.append(Markup('<line class="grid" x1="0" x2="100%" y1="{0}" y2="{0}"/>').format(at))
        parts.append(Markup('<text class="tick" x="-10" y="{}" dy="4" text-anchor="end">{:g}</text>').format(at, value))
    for step in axis.step_ticks:
        at = _percent(axis.along(step))
        parts.append(
            Markup('<text class="tick" x="{}" y="100%" dy="20" text-anchor="middle">{:,}</text>').format(
                at, round(step)
            )
        )
    parts.append(Markup('<text class="tick" x="-10" y="100%" dy="20" text-anchor="end">step</text>'))
    parts.append(Markup('<line class="axis" x1="0" x2="100%" y1="100%" y2="100%"/>'))
    inner = [
        Markup('<path class="cloud" d="{}"/>').format("".join(f"M{x} {y}h0" for x, y in axis.places(curve.train))),
        _line("smooth", axis, curve.smooth),
        _line("validation", axis, curve.validation),
    ]
    parts.append(
        Markup('<svg viewBox="0 0 {0} {0}" width="100%" height="100%" preserveAspectRatio="none">{1}</svg>').format(
            _SIDE, Markup("").join(inner)
        )
    )
    parts += _points(axis, curve)
    return Markup('<svg class="chart loss" height="300" aria-hidden="true">{}</svg>').format(Markup("").join(parts))


def is_logarithmic(curve: LossCurve) -> bool:
    """True where the losses span so much that their axis counts in powers."""
    values = _values(curve)
    return bool(values) and min(values) > 0 and max(values) / min(values) >= _LOGARITHMIC_FROM


class LossAxis:
    """Where steps and losses lie in the drawing, as shares from its left and its top."""

    def __init__(self, curve: LossCurve) -> None:
        values = _values(curve) or [0.0, 1.0]
        steps = [step for points in (curve.train, curve.smooth, curve.validation) for step, _ in points] or [0, 1]
        self._first, self._last = min(steps), max(max(steps), min(steps) + 1)
        self._logarithmic = is_logarithmic(curve)
        low, high = min(values), max(values)
        if self._logarithmic:
            self.value_ticks = _logarithmic_ticks(low, high)
            low, high = min(low, self.value_ticks[0]), max(high, self.value_ticks[-1])
        else:
            low = min(low, 0.0) if low < 0.4 * high else low
            self.value_ticks = _linear_ticks(low, high, 5)
            low, high = self.value_ticks[0], self.value_ticks[-1]
        self._low, self._high = self._scaled(low), self._scaled(high)
        steps_shown = _linear_ticks(self._first, self._last, 5)
        self.step_ticks = [step for step in steps_shown if self._first <= step <= self._last and step == round(step)]

    def _scaled(self, value: float) -> float:
        return math.log10(value) if self._logarithmic else value

    def along(self, step: float) -> float:
        return (step - self._first) / (self._last - self._first)

    def height(self, value: float) -> float:
        return 1 - (self._scaled(value) - self._low) / (self._high - self._low)

    def places(self, points: Points) -> Iterator[tuple[float, float]]:
        for step, value in points:
            yield round(_SIDE * self.along(step), 1), round(_SIDE * self.height(value), 1)


def _line(name: str, axis: LossAxis, points: Points) -> Markup:
    if len(points) < 2:
        return Markup("")
    places = " ".join(f"{x},{y}" for x, y in axis.places(points))
    return Markup('<polyline class="{}" points="{}"/>').format(name, places)


def _points(axis: LossAxis, curve: LossCurve) -> Iterator[Markup]:
    """Validation losses as dots while they are few, and the best of them with its name."""
    if len(curve.validation) <= 40:
        for step, value in curve.validation:
            yield Markup('<circle class="validation-dot" cx="{}" cy="{}" r="3"/>').format(
                _percent(axis.along(step)), _percent(axis.height(value))
            )
    if curve.best is None:
        return
    step, value = curve.best
    x, y = axis.along(step), axis.height(value)
    yield Markup('<line class="best" x1="{0}" x2="{0}" y1="0" y2="100%"/>').format(_percent(x))
    yield Markup('<circle class="best-dot" cx="{}" cy="{}" r="5"/>').format(_percent(x), _percent(y))
    anchor, gap = ("end", -8) if x > 0.55 else ("start", 8)
    yield Markup('<text class="note" x="{}" y="14" dx="{}" text-anchor="{}">best {:.4g} at step {:,}</text>').format(
        _percent(x), gap, anchor, value, step
    )


def _values(curve: LossCurve) -> list[float]:
    return [value for points in (curve.train, curve.smooth, curve.validation) for _, value in points]


def _filled(share: float, tone: str, height: int = 10) -> Markup:
    return Markup('<rect class="{}" width="{}" height="{}" rx="2"/>').format(
        f"filled {tone}".strip(), _percent(share), height
    )


def _percent(share: float) -> str:
    return f"{100 * min(1.0, max(0.0, share)):.5g}%"


def _linear_ticks(low: float, high: float, about: int) -> list[float]:
    """Round numbers from at or below `low` to at or above `high`, about so many steps between."""
    span = high - low
    if span <= 1e-6 * abs(high):  # as good as one value: labels would no longer differ
        span = abs(high) or 1.0
    rough = span / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(step for step in (power, 2 * power, 2.5 * power, 5 * power, 10 * power) if step >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [float(f"{number * step:.12g}") for number in range(first, max(last, first + 1) + 1)]


def _logarithmic_ticks(low: float, high: float) -> list[float]:
    """1, 2 and 5 times the powers of ten around the range; the powers alone where that is plenty."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    digits: Sequence[int] = (1, 2, 5) if len(powers) <= 3 else (1,)
    every = [float(f"{digit * 10.0**power:.12g}") for power in powers for digit in digits]
    below, above = [value for value in every if value <= low], [value for value in every if value >= high]
    first, last = (below or every[:1])[-1], (above or every[-1:])[0]
    return [value for value in every if first <= value <= last]
