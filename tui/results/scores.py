"""How a model did on each set of tests: rate, interval, minimum, and what the numbers decide."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from textwrap import wrap
from typing import Any

from textual import events
from textual.content import Content
from textual.widgets import Static

from core.wizard.step import Gate
from tui.widgets.rate_bar import rate_bar
from tui.widgets.scoreboard import board_class, gate_line, headline, verdict_of

SETS = ("golden", "validation", "training")
"""The sets a summary may hold, the one that tells most about new conversations first."""
OUTCOMES = {
    "pass": ("✓", "pass", "$text-success"),
    "reached": ("✓", "reached, unproven", "$text-success"),
    "comparable": ("✓", "comparable", "$text-success"),
    "open": ("?", "not decided", "$text-warning"),
    "missed": ("✗", "missed, unproven", "$text-error"),
    "fail": ("✗", "fail", "$text-error"),
}
"""Outcome of a set → sign, words, colour."""
_UNBROKEN = "\N{NO-BREAK SPACE}"
_NARROW = 84
"""Columns below which a line leaves out what the one beneath it can say."""


class SetScores(Static):
    """The verdict, a line a set, and the gates that are about no set."""

    DEFAULT_CSS = """
    SetScores { height: auto; padding: 0 1; border-left: outer $success; background: $surface; margin: 0 0 1 0; }
    SetScores.failed { border-left: outer $error; }
    SetScores.open { border-left: outer $warning; }
    """

    def __init__(self, summary: Mapping[str, Any], gates: Sequence[Gate], id: str | None = None) -> None:
        self._summary, self._gates = summary, gates
        super().__init__("", id=id, classes=board_class(_verdicts(summary, gates)))

    def on_resize(self, event: events.Resize) -> None:
        self.update(scores(self._summary, self._gates, self.content_size.width or event.size.width))


def scores(summary: Mapping[str, Any], gates: Sequence[Gate], width: int) -> Content:
    """The lines of the board for a width in columns."""
    lines = [headline(_verdicts(summary, gates))] if gates else []
    for name, found in sets_in(summary):
        lines += _set_lines(name, found, next((gate for gate in gates if _is_of(gate, name)), None), width)
    others = [gate for gate in gates if _set_of(gate, summary) is None]
    name_width = max((len(gate.name) for gate in others), default=0)
    lines += [gate_line(gate, name_width) for gate in others]
    return Content("\n").join(lines)


def sets_in(summary: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """The sets of tests that were run, by name."""
    return [(name, summary[name]) for name in SETS if (summary.get(name) or {}).get("tests")]


def _is_of(gate: Gate, name: str) -> bool:
    return gate.name.startswith(f"{name} tests")


def _set_of(gate: Gate, summary: Mapping[str, Any]) -> Mapping[str, Any] | None:
    return next((found for name, found in sets_in(summary) if _is_of(gate, name)), None)


def _verdicts(summary: Mapping[str, Any], gates: Sequence[Gate]) -> list[str]:
    """What each gate comes to; a rate that is high enough but proves too little is not decided yet."""
    found = [(gate, _set_of(gate, summary)) for gate in gates]
    return [verdict_of(gate) if of is None else _AS_GATE.get(outcome(of, gate), "pass") for gate, of in found]


_AS_GATE = {"open": "inconclusive", "missed": "fail", "fail": "fail"}


def outcome(found: Mapping[str, Any], gate: Gate | None) -> str:
    """What a set comes to, a key of OUTCOMES: whether its gate holds, and whether the tests prove it. "" when nobody judged."""
    proven = found.get("verdict") or ("" if gate is None else verdict_of(gate))
    if gate is not None and gate.passed:
        return {"inconclusive": "reached", "fail": "comparable"}.get(proven, "pass")
    if proven == "inconclusive":
        return "open" if _rate(found) >= (found.get("minimum") or 0.0) else "missed"
    return proven


def _rate(found: Mapping[str, Any]) -> float:
    return float(found.get("rate", found["passed"] / found["tests"]))


def _set_lines(name: str, found: Mapping[str, Any], gate: Gate | None, width: int) -> Iterator[Content]:
    rate = _rate(found)
    sign, words, colour = OUTCOMES.get(outcome(found, gate), ("·", "", "$text-primary"))
    low_high = found.get("interval")
    interval = (float(low_high[0]), float(low_high[1])) if low_high else None
    narrow = width < _NARROW
    between = f"{_percent(interval[0])}–{_percent(interval[1])} %" if interval else ""
    yield Content.assemble(
        (f"{sign} ", colour),
        f"{name:<11}",
        rate_bar(rate, 14 if narrow else 24, colour, interval, found.get("minimum")),
        (f"{100 * rate:6.1f} %", "bold"),
        f"  {found['passed']} of {found['tests']}",
        (f"  {between}", "$muted"),
        (f"  {words}", f"bold {colour}"),
    )
    indent = " " * (2 if narrow else 13)
    details = "; ".join(detail.replace(" ", _UNBROKEN) for detail in _details(found, gate, narrow))
    for line in wrap(details, max(40, width), initial_indent=indent, subsequent_indent=indent):
        yield Content.styled(line.replace(_UNBROKEN, " "), "$muted")


def _details(found: Mapping[str, Any], gate: Gate | None, narrow: bool) -> Iterator[str]:
    """What a set's line has no room for."""
    more = found.get("more_tests")
    if found.get("verdict") == "inconclusive" and more:
        yield f"{more:,} more {'test' if more == 1 else 'tests'} would decide"
    if gate is not None and not narrow:
        yield f"asked {gate.required}"
    if (found.get("repeats") or 1) > 1:
        hats = [f"pass^{k} {100 * share:.0f} %" for k, share in (found.get("pass_hat") or {}).items() if k != "1"]
        yield f"{found['repeats']} runs: {', '.join(hats)}"
    if flaky := found.get("flaky"):
        yield f"{len(flaky)} flaky"
    if found.get("invalid_turns") and not narrow:
        yield f"{found['invalid_turns']} invalid {'answer' if found['invalid_turns'] == 1 else 'answers'}"
    if found.get("turns") and not narrow:
        yield f"{found['turns_exactly_as_expected']} of {found['turns']} messages exactly"


def _percent(share: float) -> str:
    return f"{100 * share:.0f}"
