"""Coverage of flow steps by tests, and the histogram of commands.

Every step but `noop` counts, nested ones separately; a step is covered once a test passed it, a collect also when its
slot was filled already. The table shows the owner's business flows; a called flow has its own row; patterns, the
owner's own included, have none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from core.assistant.flows import Flow, NoopStep
from core.assistant.project import Assistant
from core.dialogue.commands import (
    CancelFlow,
    CannotHandle,
    ChitChat,
    Clarify,
    Command,
    HumanHandoff,
    RepeatMessage,
    SearchAndReply,
    SetSlot,
    SkipQuestion,
    StartFlow,
)
from core.e2e.results import TestResult

LABELS: dict[type, str] = {
    StartFlow: "start flow",
    SetSlot: "set slot",
    CancelFlow: "cancel flow",
    Clarify: "clarify",
    SkipQuestion: "skip question",
    SearchAndReply: "search and reply",
    ChitChat: "chitchat",
    HumanHandoff: "human handoff",
    RepeatMessage: "repeat message",
    CannotHandle: "cannot handle",
}
"""Names of commands in histograms and reports; session start and intents are not shown."""


@dataclass(frozen=True)
class FlowCoverage:
    """How much of one flow the tests passed through."""

    flow: str
    file: str
    span: tuple[int, int]
    """(first, last) line of the flow."""
    steps: int
    missing: int
    missing_lines: tuple[tuple[int, int], ...]
    """(first, last) lines of each step not passed, nested blocks included, sorted."""

    @property
    def coverage(self) -> float:
        """Share of steps passed, 0 to 1."""
        return 1.0 - self.missing / self.steps if self.steps else 1.0

    @property
    def name(self) -> str:
        """`file::flow`, as the recipe's table names it."""
        return f"{self.file}::{self.flow}"


@dataclass(frozen=True)
class CoverageReport:
    """Coverage of all flows, highest first."""

    flows: tuple[FlowCoverage, ...]

    @property
    def steps(self) -> int:
        return sum(flow.steps for flow in self.flows)

    @property
    def missing(self) -> int:
        return sum(flow.missing for flow in self.flows)

    @property
    def total(self) -> float:
        """Covered steps by all steps, 0 to 1."""
        return 1.0 - self.missing / self.steps if self.steps else 1.0


def measure(assistant: Assistant, results: Iterable[TestResult]) -> CoverageReport:
    """Coverage by a set of results (passed tests and failed ones are measured apart)."""
    visited: set[tuple[str, str]] = set()
    for result in results:
        visited |= result.visited
    flows = [_flow_coverage(flow, visited) for flow in assistant.business_flows]
    return CoverageReport(tuple(sorted(flows, key=lambda flow: (-flow.coverage, flow.name))))


def _flow_coverage(flow: Flow, visited: set[tuple[str, str]]) -> FlowCoverage:
    counted = [step for step in flow.steps if not isinstance(step, NoopStep)]
    missing = [step for step in counted if (flow.id, step.id) not in visited]
    lines = tuple(sorted((step.lines.first, step.lines.last) for step in missing))
    return FlowCoverage(
        flow.id, flow.lines.file, (flow.lines.first, flow.lines.last), len(counted), len(missing), lines
    )


def histogram(results: Iterable[TestResult]) -> dict[str, int]:
    """Command label → how often it was given over all turns, most frequent first."""
    counts: Counter[str] = Counter()
    for result in results:
        counts.update(label(command) for command in _given(result) if type(command) in LABELS)
    return dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))


def label(command: Command) -> str:
    return LABELS[type(command)]


def _given(result: TestResult) -> Iterable[Command]:
    """Commands that were understood, not those of buttons."""
    return (command for record in result.turns if record.prediction is not None for command in record.commands)
