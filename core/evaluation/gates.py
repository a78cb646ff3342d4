"""The bars of the recipe, as pure functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from core.assistant.project import Assistant
from core.e2e.coverage import CoverageReport
from core.evaluation.bars import FLOW_COVERAGE, TOTAL_COVERAGE, Accept
from core.evaluation.comparison import Comparison
from core.evaluation.statistics import CONFIDENCE, Decision, decide, tests_to_decide, wilson


@dataclass(frozen=True)
class GateResult:
    """One bar: what was asked, what was measured."""

    name: str
    required: str
    measured: str
    passed: bool
    verdict: Decision | Literal[""] = ""
    """What the measurement proves, where it is a sample; "" elsewhere."""
    detail: str = ""
    """A sentence beside it."""

    @property
    def measurement(self) -> dict[str, str | bool]:
        """JSON-ready: name, required, measured, passed."""
        return {"name": self.name, "required": self.required, "measured": self.measured, "passed": self.passed}


def percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def coverage_gates(
    assistant: Assistant,
    report: CoverageReport,
    commands: Mapping[str, int],
    total_min: float = TOTAL_COVERAGE,
    flow_min: float = FLOW_COVERAGE,
    samples_min: int = 1,
) -> list[GateResult]:
    """Gates of the coverage review. Shares are 0 to 1; `commands` is a histogram by label."""
    low = [flow for flow in report.flows if flow.coverage < flow_min]
    worst = (
        f"{len(low)} below: " + ", ".join(f"{flow.flow} {percent(flow.coverage)}" for flow in low[:5]) if low else "all"
    )
    required = required_commands(assistant)
    rare = [name for name in required if commands.get(name, 0) < samples_min]
    times = "once" if samples_min == 1 else f"{samples_min} times"
    return [
        GateResult("total coverage", f"≥ {percent(total_min)}", percent(report.total), report.total >= total_min),
        GateResult("coverage of every flow", f"≥ {percent(flow_min)}", worst, not low),
        GateResult(
            "every command represented",
            f"{', '.join(required)} at least {times}",
            f"missing: {', '.join(rare)}" if rare else "all",
            not rare,
        ),
    ]


def required_commands(assistant: Assistant) -> list[str]:
    """Commands that conversations with this assistant cannot do without.

    start flow where a flow can be started by the user, set slot and cancel flow where a flow asks for a slot that a
    model may fill, clarify where there is more than one flow to choose from. Digressions (small talk, questions, a
    person) depend on the users and are shown in the histogram only.
    """
    startable = [flow for flow in assistant.business_flows if not flow.never_startable]
    asks = any(
        assistant.domain.slots[step.slot].from_llm
        for flow in assistant.business_flows
        for step in flow.collects()
        if step.slot in assistant.domain.slots
    )
    required = []
    if startable:
        required.append("start flow")
    if asks:
        required += ["set slot", "cancel flow"]
    if len(startable) > 1:
        required.append("clarify")
    return required


def pass_rate_gate(
    name: str,
    passed: Sequence[bool],
    minimum: float,
    accept: Accept = "share",
    comparison: Comparison | None = None,
) -> GateResult:
    """Share of passed tests against a minimum; no test at all does not pass.

    A model that is proven comparable with the strong one passes below the minimum too.
    """
    required = f"≥ {percent(minimum)}" + (f" proven ({100 * CONFIDENCE:g} %)" if accept == "proven" else "")
    if comparison is not None:
        required += f", or at most {100 * comparison.margin:g} points below {comparison.model}"
    count, total = sum(passed), len(passed)
    if not total:
        return GateResult(name, required, "no tests", False, "inconclusive")
    verdict = decide(count, total, minimum)
    reached = verdict == "pass" if accept == "proven" else count / total >= minimum
    comparable = comparison is not None and comparison.verdict == "pass"
    measured = f"{percent(count / total)} ({count} of {total})"
    return GateResult(name, required, measured, reached or comparable, verdict, what_it_proves(count, total, minimum))


def what_it_proves(passed: int, total: int, minimum: float) -> str:
    """ "95 % interval 72.7 to 95.2 %: reached, but not proven; 61 more such tests would decide" """
    interval, verdict = wilson(passed, total), decide(passed, total, minimum)
    said = f"{100 * CONFIDENCE:g} % interval {100 * interval.low:.1f} to {percent(interval.high)}"
    if verdict != "inconclusive":
        return f"{said}: {'proven' if verdict == 'pass' else 'proven to be below'}"
    reached = "reached, but not proven" if passed / total >= minimum else "missed, but not proven to be below"
    more = tests_to_decide(passed, total, minimum)
    if more is None:
        return f"{said}: {reached}; no number of such tests would decide"
    return f"{said}: {reached}; {more:,} more such test{'' if more == 1 else 's'} would decide"
