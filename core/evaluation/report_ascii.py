"""The drawings of a report in letters, for Markdown and for terminals."""

from __future__ import annotations

from core.evaluation.report_charts import LossAxis
from core.evaluation.report_content import LossCurve, Points
from core.evaluation.report_words import signed

WIDE, HIGH = 60, 12
"""Columns and rows of a drawing, without its axes."""
_TRAIN, _SMOOTH, _VALIDATION, _BEST = ".", "o", "x", "@"


def loss_letters(curve: LossCurve) -> tuple[str, ...]:
    """The lines of a loss curve: losses of training and validation over steps, in ASCII."""
    axis = LossAxis(curve)
    rows = [[" "] * WIDE for _ in range(HIGH)]

    def put(points: Points, letter: str) -> None:
        for step, value in points:
            column, row = round(axis.along(step) * (WIDE - 1)), round(axis.height(value) * (HIGH - 1))
            rows[row][column] = letter

    put(curve.train, _TRAIN)
    put(curve.smooth, _SMOOTH)
    put(curve.validation, _VALIDATION)
    if curve.best is not None:
        put((curve.best,), _BEST)
    labels = {round(axis.height(value) * (HIGH - 1)): f"{value:g}" for value in axis.value_ticks}
    margin = max(len(label) for label in labels.values())
    lines = [f"{labels.get(at, ''):>{margin}} |{''.join(row)}".rstrip() for at, row in enumerate(rows)]
    lines.append(f"{'':>{margin}} +{'-' * WIDE}")
    lines.append(f"{'':>{margin}}  {_along(axis)}")
    drawn = ((curve.train, _TRAIN, "training"), (curve.smooth, _SMOOTH, "averaged"), (curve.validation, _VALIDATION, "validation"))
    legend = [f"{letter} {name}" for points, letter, name in drawn if points]
    if curve.best is not None:
        legend.append(f"{_BEST} best")
    return (*lines, f"{'':>{margin}}  {'   '.join(legend)}")


def difference_letters(difference: float, interval: tuple[float, float], margin: float | None) -> tuple[str, ...]:
    """A difference (o) with its interval, beside no difference (|) and the most that is allowed (:)."""
    reach = max(abs(value) for value in (difference, *interval, margin or 0.0, 0.05)) * 1.15

    def place(value: float) -> int:
        return round((value + reach) / (2 * reach) * (WIDE - 1))

    row = [" "] * WIDE
    for column in range(place(interval[0]), place(interval[1]) + 1):
        row[column] = "-"
    row[place(interval[0])], row[place(interval[1])] = "[", "]"
    row[place(0.0)] = "|"
    if margin:
        row[place(-margin)] = ":"
    row[place(difference)] = "o"
    ends = signed(-reach).replace("−", "-"), signed(reach)
    middle = place(0.0) - len(ends[0])
    return ("".join(row).rstrip(), f"{ends[0]}{'0':>{middle + 1}}{ends[1]:>{WIDE - place(0.0) - 1}}")


def _along(axis: LossAxis) -> str:
    """The steps under the drawing, each centred on its place where there is room."""
    line = ""
    for step in axis.step_ticks:
        label = f"{round(step):,}"
        start = max(0, min(round(axis.along(step) * (WIDE - 1)) - len(label) // 2, WIDE - len(label)))
        if start >= len(line) + (2 if line else 0):
            line = line.ljust(start) + label
    return f"{line}  step"
