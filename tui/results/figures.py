"""The tuned model beside the strong one: tests, seconds, tokens, dollars, and what an answer grammar changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from textual.content import Content

from tui.results.scores import sets_in
from tui.widgets.rate_bar import difference_bar

_NONE = "—"
_VERDICTS = {"pass": "$text-success", "fail": "$text-error", "inconclusive": "$text-warning"}


def compared(summary: Mapping[str, Any]) -> Content:
    """What the comparison with the strong model says, and from which tests."""
    found = summary["comparison"]
    said = found.get("sentence") or f"compared with {found.get('model', 'the strong model')}"
    parts = [[Content.styled(said, f"bold {_VERDICTS.get(found.get('verdict'), '')}")]]
    if found.get("difference") is not None and found.get("interval"):
        parts.append(_difference(found))
    counts = [(found[key], what) for key, what in _COUNTS if found.get(key) is not None]
    parts.append([Content.assemble((f"{count:>7,}", "bold"), (f"  {what}", "$muted")) for count, what in counts])
    if found.get("p_value") is not None:
        parts.append(
            [Content.styled(f"p = {found['p_value']:.3g}: chance of such a difference between equals", "$muted")]
        )
    if found.get("flaky"):
        parts.append(
            [Content("Flaky with one of the models"), *(Content.styled(f"~ {one}", "$muted") for one in found["flaky"])]
        )
    return Content("\n\n").join([Content("\n").join(lines) for lines in parts if lines])


_COUNTS = (
    ("both", "tests pass with both models"),
    ("only_tuned", "with the tuned one only"),
    ("only_strong", "with the strong one only"),
    ("neither", "with neither"),
)


def _difference(found: Mapping[str, Any]) -> list[Content]:
    low, high = (float(end) for end in found["interval"])
    margin = float(found.get("margin") or 0.0)
    said = f"{_points(found['difference'])} points, 95 %: {_points(low)} to {_points(high)}"
    borne = f"; a loss of up to {100 * margin:.0f} is borne (┊)" if margin else ""
    bar = difference_bar(found["difference"], (low, high), margin)
    return [
        Content.assemble(("strong better  ", "$muted"), bar, ("  tuned better", "$muted")),
        Content.assemble((said, "bold"), (borne, "$muted")),
    ]


def _points(share: float) -> str:
    return f"{100 * share:+.1f}".replace("-", "−")


def figures(summary: Mapping[str, Any]) -> Content:
    """A small table, and the effect of the answer grammar."""
    tuned, strong = _measured(summary), summary.get("strong") or {}
    names = ["tuned", *([str(strong.get("model") or "strong")] if strong else [])]
    sides = [tuned, *([strong] if strong else [])]
    rows = [[label, *(form(side) for side in sides)] for label, form in _ROWS]
    table = _table(["", *names], [row for row in rows if any(cell != _NONE for cell in row[1:])])
    grammar = _grammar(summary.get("grammar"))
    return Content("\n\n").join([table, grammar]) if grammar is not None else table


def _measured(summary: Mapping[str, Any]) -> Mapping[str, Any]:
    """The set that was measured; every set has the same prompts."""
    sets = [found for _, found in sets_in(summary)]
    return next((found for found in sets if found.get("latency")), sets[0] if sets else {})


def _passed(side: Mapping[str, Any]) -> str:
    return f"{side['passed']} of {side['tests']}" if side.get("tests") else _NONE


def _seconds(side: Mapping[str, Any], which: str) -> str:
    value = (side.get("latency") or {}).get(which)
    if value is None and which == "p50":
        value = side.get("median_seconds_per_turn")
    return _NONE if value is None else f"{value:.2f} s"


def _load(side: Mapping[str, Any]) -> str:
    return str(side.get("requests_at_once") or _NONE)


def _tokens(side: Mapping[str, Any], which: str) -> str:
    value = (side.get("tokens") or {}).get(which)
    return _NONE if value is None else f"{value:,.0f}"


def _dollars(side: Mapping[str, Any]) -> str:
    value = side.get("usd_per_1000_turns")
    return _NONE if value is None else f"${value:,.2f}"


_ROWS = (
    ("tests passed", _passed),
    ("an answer takes, median", lambda side: _seconds(side, "p50")),
    ("  9 of 10 within (p90)", lambda side: _seconds(side, "p90")),
    ("  99 of 100 within (p99)", lambda side: _seconds(side, "p99")),
    ("  requests at once", _load),
    ("tokens of a prompt", lambda side: _tokens(side, "prompt")),
    ("tokens of an answer", lambda side: _tokens(side, "completion")),
    ("$ per 1,000 turns", _dollars),
)


def _grammar(found: Mapping[str, Any] | None) -> Content | None:
    if not found:
        return None
    sides = [found.get("without") or {}, found.get("with") or {}]
    rows = [
        ["answers that are no commands", *(str(side.get("invalid_turns", _NONE)) for side in sides)],
        ["tests passed", *(_passed(side) for side in sides)],
    ]
    title = Content.styled("With and without an answer grammar\n", "bold")
    return Content.assemble(title, _table(["", "without", "with"], rows))


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Content:
    """Names at the left, figures at the right of their columns."""
    widths = [max(len(row[at]) for row in (head, *rows)) for at in range(len(head))]
    lines = []
    for number, row in enumerate((head, *rows)):
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        style = "$muted" if number == 0 else "bold"
        lines.append(Content.assemble((cells[0], "$muted"), *((f"   {cell}", style) for cell in cells[1:])))
    return Content("\n").join(lines)
