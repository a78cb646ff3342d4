"""Gates of a step: what was measured against what is asked."""

from __future__ import annotations

from collections.abc import Sequence

from textual.content import Content
from textual.widgets import Static

from core.wizard.step import Gate


class Scoreboard(Static):
    """One line a gate, the verdict of all above them."""

    DEFAULT_CSS = """
    Scoreboard { height: auto; padding: 0 1; border-left: outer $success; background: $surface; margin: 0 0 1 0; }
    Scoreboard.failed { border-left: outer $error; }
    """

    def __init__(self, gates: Sequence[Gate], id: str | None = None) -> None:
        self.passed = all(gate.passed for gate in gates)
        super().__init__(scores(gates), id=id, classes="" if self.passed else "failed")


def scores(gates: Sequence[Gate]) -> Content:
    """The lines of a scoreboard."""
    passed = all(gate.passed for gate in gates)
    verdict = ("✓ passed", "bold $text-success") if passed else ("✗ gate failed", "bold $text-error")
    width = max((len(gate.name) for gate in gates), default=0)
    measured = min(14, max((len(gate.measured) for gate in gates), default=0))
    lines = [Content.styled(*verdict)]
    for gate in gates:
        mark = ("✓", "$text-success") if gate.passed else ("✗", "$text-error")
        name, value = f" {gate.name.ljust(width)}  ", gate.measured.ljust(measured)
        lines.append(Content.assemble(mark, name, (value, "bold"), (f"  asked {gate.required}", "$muted")))
    return Content("\n").join(lines)
