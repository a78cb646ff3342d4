"""The bars of the recipe."""

from __future__ import annotations

import pytest

from core.e2e.coverage import CoverageReport, FlowCoverage
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
