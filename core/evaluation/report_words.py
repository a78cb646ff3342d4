"""Numbers and dates as a report says them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from markupsafe import Markup

from core.evaluation.report_blocks import Badge, Cell, Detailed, Tone

_MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December",
)  # fmt: skip
_VERDICTS: dict[str, Badge] = {
    "pass": Badge("passed", "good"),
    "fail": Badge("failed", "bad"),
    "inconclusive": Badge("inconclusive", "unsure"),
}
_STATES: dict[str, Badge] = {
    "fresh": Badge("done", "good"),
    "gate failed": Badge("gate failed", "bad"),
    "failed": Badge("failed", "bad"),
    "stale": Badge("out of date", "unsure"),
    "interrupted": Badge("interrupted", "unsure"),
    "running": Badge("running", "unsure"),
    "ready": Badge("not run yet", "quiet"),
    "blocked": Badge("not run yet", "quiet"),
}
NOTHING = "–"
_LONGEST_WORD = 14
"""Letters that a column of a table can be expected to hold in one line."""
_PARTS = re.compile(r"[_/:=&?]+")
_AFTER_A_PART = re.compile(r"(?<=[_/:=&?])(?=[^_/:=&?\s])")
"""After these, names and addresses may go on in the next line."""


def verdict_badge(verdict: str | None) -> Badge | str:
    return _VERDICTS.get(verdict or "", NOTHING)


def state_badge(state: str) -> Badge:
    return _STATES.get(state, Badge(state, "quiet"))


def tone_of(verdict: str | None) -> Tone | Literal[""]:
    """The colour of a verdict; "" for none."""
    return _VERDICTS[verdict].tone if verdict in _VERDICTS else ""


def percent(share: float | None, digits: int = 1) -> str:
    """0.875 → "87.5 %", 1.0 → "100 %"."""
    if share is None:
        return NOTHING
    return f"{100 * share:.{digits}f}".removesuffix(".0") + "\u00a0%"


def between(interval: tuple[float, float] | None) -> str:
    """ "74 to 98 %" """
    return NOTHING if interval is None else f"{100 * interval[0]:.0f} to {100 * interval[1]:.0f}\u00a0%"


def signed(difference: float) -> str:
    """A difference of shares in points: "+2.5", "−7.1", "0"."""
    text = f"{100 * difference:+.1f}".removesuffix(".0").replace("-", "−")
    return "0" if text in ("+0", "−0") else text


def points(difference: float) -> str:
    """ "+2.5 points" """
    text = signed(difference)
    return "no difference" if text == "0" else f"{text} point{'' if text in ('+1', '−1') else 's'}"


def seconds(value: float | None) -> str:
    """Of one call: "0.42 s"."""
    return NOTHING if value is None else f"{value:.3g}\u00a0s" if value < 100 else f"{value:,.0f}\u00a0s"


def duration(value: float | None) -> str:
    """Of a step: "42 s", "8 min", "3 h 20 min"."""
    if value is None:
        return NOTHING
    if value < 1:
        return "under 1\u00a0s"
    if value < 90:
        return f"{value:.0f}\u00a0s"
    hours, minutes = divmod(round(value / 60), 60)
    return f"{hours}\u00a0h {minutes}\u00a0min" if hours else f"{minutes}\u00a0min"


def dollars(value: float | None) -> str:
    if value is None:
        return NOTHING
    return f"${value:,.2f}" if value >= 0.1 or value == 0 else f"${value:.2g}"


def count(value: float | None) -> str:
    return NOTHING if value is None else f"{value:,.0f}"


def plural(number: int, what: str) -> str:
    """ "1 test", "1,200 tests" """
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def when(date: str) -> str:
    """ "2025-07-14T10:32+02:00" → "14 July 2025, 10:32 (UTC+02:00)" """
    try:
        at = datetime.fromisoformat(date)
    except ValueError:
        return date
    zone = "" if at.tzinfo is None else f" ({at.tzname()})" if at.tzname() == "UTC" else f" (UTC{date[-6:]})"
    return f"{at.day} {_MONTHS[at.month - 1]} {at.year}, {at:%H:%M}{zone}"


def ranges(lines: Sequence[tuple[int, int]], most: int = 12) -> str:
    """Line numbers: "12, 15–18 and 3 more"."""
    shown = ", ".join(f"{first}" if first == last else f"{first}–{last}" for first, last in lines[:most])
    return shown + (f" and {len(lines) - most} more" if len(lines) > most else "")


def named(names: Sequence[str], most: int = 10) -> str:
    """Names in one line; the rest is counted."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def has_long_word(cell: Cell) -> bool:
    """True for a cell that may break words anywhere: they would make its table wider than the page."""
    text = f"{cell.text} {cell.detail}" if isinstance(cell, Detailed) else cell if isinstance(cell, str) else cell.text
    return any(len(word) > _LONGEST_WORD for word in _PARTS.sub(" ", text).split())


def breakable(text: str) -> Markup:
    """The text, escaped, with places where a line may end inside of names such as `order_a_lamp`."""
    return Markup("<wbr>").join(_AFTER_A_PART.split(text))
