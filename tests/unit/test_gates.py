"""The bars of the recipe."""

from __future__ import annotations

import pytest

from core.e2e.coverage import CoverageReport, FlowCoverage
from core.evaluation.comparison import compare
from core.evaluation.gates import coverage_gates, pass_rate_gate, required_commands

FLOWS = """
flows:
  send:
    description: send a parcel
    steps: [{collect: street}]
  greet:
    description: greet
    steps: [{action: utter_hi}]
"""
DOMAIN = """
slots: {street: {type: text}}
responses:
  utter_ask_street: [{text: Which?}]
  utter_hi: [{text: Hi.}]
"""
ALL = {"start flow": 2, "set slot": 2, "cancel flow": 2, "clarify": 2}


def report(*flows: tuple[int, int]) -> CoverageReport:
    """(steps, missing) of each flow."""
    return CoverageReport(tuple(FlowCoverage(f"f{at}", "a.yml", (1, 9), *flow, ()) for at, flow in enumerate(flows)))


@pytest.fixture
def assistant(make_assistant):
    return make_assistant(FLOWS, DOMAIN)


def test_the_recipes_bars_are_reached_exactly(assistant):
    gates = coverage_gates(assistant, report((15, 1), (5, 1)), ALL)
    assert [gate.passed for gate in gates] == [True, True, True]
    assert [gate.required for gate in gates[:2]] == ["≥ 90.0 %", "≥ 80.0 %"]
    assert gates[0].measured == "90.0 %"


def test_flows_below_the_bar_are_listed(assistant):
    total, each, _ = coverage_gates(assistant, report((96, 0), (4, 1), (4, 4)), ALL)
    assert total.passed
    assert (each.passed, each.measured) == (False, "2 below: f1 75.0 %, f2 0.0 %")


def test_bars_can_be_set(assistant):
    gates = coverage_gates(assistant, report((2, 1)), ALL, total_min=0.5, flow_min=0.5, samples_min=3)
    assert [gate.passed for gate in gates] == [True, True, False]
    assert gates[2].required == "start flow, set slot, cancel flow, clarify at least 3 times"


def test_missing_commands_are_named(assistant):
    *_, commands = coverage_gates(assistant, report((1, 0)), {"start flow": 1, "set slot": 4, "chitchat": 9})
    assert (commands.passed, commands.measured) == (False, "missing: cancel flow, clarify")


def test_a_command_is_required_where_the_assistant_can_meet_it(make_assistant):
    one = "flows: {greet: {description: greet, steps: [{action: utter_hi}]}}"
    assert required_commands(make_assistant(one, DOMAIN)) == ["start flow"]
    assert required_commands(make_assistant(FLOWS, DOMAIN)) == ["start flow", "set slot", "cancel flow", "clarify"]
    controlled = DOMAIN.replace("{type: text}", "{type: text, mappings: [{type: controlled}]}")
    assert required_commands(make_assistant(FLOWS, controlled)) == ["start flow", "clarify"]
    called = "flows: {pay: {description: pay, if: false, steps: [{action: utter_hi}]}}"
    assert required_commands(make_assistant(called, DOMAIN)) == []


@pytest.mark.parametrize(
    ("passed", "minimum", "holds", "measured"),
    [
        ([True] * 4 + [False], 0.8, True, "80.0 % (4 of 5)"),
        ([True] * 18 + [False], 0.95, False, "94.7 % (18 of 19)"),
        ([True] * 19 + [False], 0.95, True, "95.0 % (19 of 20)"),
        ([], 0.8, False, "no tests"),
        ([], 0.0, False, "no tests"),
    ],
)
def test_pass_rates(passed, minimum, holds, measured):
    gate = pass_rate_gate("validation tests", passed, minimum)
    assert (gate.passed, gate.measured) == (holds, measured)


@pytest.mark.parametrize(
    ("passed", "total", "minimum", "verdict", "share_holds", "says"),
    [
        (20, 20, 0.8, "pass", True, "83.9 to 100.0 %: proven"),
        (19, 20, 0.8, "inconclusive", True, "reached, but not proven; "),
        (46, 50, 0.8, "pass", True, "proven"),
        (45, 50, 0.8, "inconclusive", True, "reached, but not proven; "),
        (29, 33, 0.8, "inconclusive", True, "72.7 to 95.2 %: reached, but not proven; 73 more such tests would decide"),
        (25, 33, 0.8, "inconclusive", False, "missed, but not proven to be below; "),
        (20, 33, 0.8, "fail", False, "proven to be below"),
        (80, 100, 0.8, "inconclusive", True, "no number of such tests would decide"),
        (100, 100, 0.95, "pass", True, "proven"),
        (98, 100, 0.95, "inconclusive", True, "reached, but not proven; "),
        (50, 50, 0.95, "inconclusive", True, "reached, but not proven; "),
        (80, 100, 0.95, "fail", False, "proven to be below"),
        (0, 0, 0.8, "inconclusive", False, ""),
        (1, 1, 0.0, "pass", True, "proven"),
    ],
)
def test_the_three_verdicts(passed, total, minimum, verdict, share_holds, says):
    results = [True] * passed + [False] * (total - passed)
    gate = pass_rate_gate("validation tests", results, minimum)
    assert (gate.verdict, gate.passed) == (verdict, share_holds)
    assert says in gate.detail
    proven = pass_rate_gate("validation tests", results, minimum, "proven")
    assert proven.passed == (verdict == "pass")
    assert proven.verdict == verdict


@pytest.mark.parametrize(
    ("both", "only_tuned", "only_strong", "neither", "margin", "holds"),
    [
        (60, 5, 5, 30, 0.2, True),  # as good as the strong one, which is no better itself
        (60, 5, 5, 30, 0.05, False),  # the difference is not known well enough
        (60, 0, 20, 20, 0.1, False),  # worse
    ],
)
def test_below_the_bar_a_model_passes_when_it_is_proven_comparable(
    both, only_tuned, only_strong, neither, margin, holds
):
    tuned = [*[True] * both, *[True] * only_tuned, *[False] * only_strong, *[False] * neither]
    strong = [*[True] * both, *[False] * only_tuned, *[True] * only_strong, *[False] * neither]
    comparison = compare(dict(enumerate(tuned)), dict(enumerate(strong)), "big", margin)
    for accept in ("share", "proven"):
        gate = pass_rate_gate("validation tests", tuned, 0.8, accept, comparison)
        assert gate.passed == holds
        assert f"or at most {100 * margin:g} points below big" in gate.required
