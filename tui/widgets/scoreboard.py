"""Gates of a step: what was measured against what is asked."""

from __future__ import annotations

from collections.abc import Sequence

from textual.content import Content
from textual.widgets import Static

from core.wizard.step import Gate
from tui.safe_text import one_line, safe


class Scoreboard(Static):
    """One line a gate, the verdict of all above them."""

    DEFAULT_CSS = """
    Scoreboard { height: auto; padding: 0 1; border-left: outer $success; background: $surface; margin: 0 0 1 0; }
    Scoreboard.failed { border-left: outer $error; }
    Scoreboard.open { border-left: outer $warning; }
    """

    def __init__(self, gates: Sequence[Gate], brief: bool = False, id: str | None = None) -> None:
        """`brief` leaves to others what there is to say about gates that passed."""
        self.passed = all(gate.passed for gate in gates)
        super().__init__(scores(gates, brief), id=id, classes=board_class([verdict_of(gate) for gate in gates]))


def scores(gates: Sequence[Gate], brief: bool = False) -> Content:
    """The lines of a scoreboard."""
    width = max((len(gate.name) for gate in gates), default=0)
    measured = min(14, max((len(gate.measured) for gate in gates), default=0))
    verdict = headline([verdict_of(gate) for gate in gates])
    return Content("\n").join([verdict, *(gate_line(gate, width, measured, brief and gate.passed) for gate in gates)])


def verdict_of(gate: Gate) -> str:
    """ "pass", "fail", or "inconclusive" where more tests would be needed to hold the gate."""
    if gate.passed:
        return "pass"
    return "inconclusive" if gate.verdict == "inconclusive" else "fail"


def headline(verdicts: Sequence[str]) -> Content:
    """What all gates together come to."""
    return {
        "": Content.styled("✓ passed", "bold $text-success"),
        "open": Content.styled("? not decided", "bold $text-warning"),
        "failed": Content.styled("✗ gate failed", "bold $text-error"),
    }[board_class(verdicts)]


def board_class(verdicts: Sequence[str]) -> str:
    """ "failed" when a gate does not hold, "open" when none fails but some cannot be decided yet, "" when all hold."""
    return "failed" if "fail" in verdicts else "open" if "inconclusive" in verdicts else ""


def gate_line(gate: Gate, name_width: int, measured_width: int = 0, brief: bool = False) -> Content:
    """A gate, and beneath it what there is to say about it, unless that is said elsewhere."""
    mark = {"pass": ("✓", "$text-success"), "inconclusive": ("?", "$text-warning")}.get(
        verdict_of(gate), ("✗", "$text-error")
    )
    name, value = f" {one_line(gate.name).ljust(name_width)}  ", one_line(gate.measured).ljust(measured_width)
    if brief:
        return Content.assemble(mark, name, (value.rstrip(), "bold"))
    line = Content.assemble(mark, name, (value, "bold"), (f"  asked {one_line(gate.required)}", "$muted"))
    return Content.assemble(line, (f"\n  {safe(gate.detail)}", "$muted")) if gate.detail else line
