"""Time and cost in the report: what rented machines came to stands beside what was planned."""

from __future__ import annotations

from dataclasses import replace

from core.evaluation.report_account import spending_section
from core.evaluation.report_content import Spent
from tests.rigs.reports import whole


def columns_of(*spent: Spent):
    (table,) = spending_section(replace(whole(), spent=spent)).blocks
    return dict(zip(table.header, zip(*table.rows, strict=True), strict=True)), table.note


def test_without_rented_machines_there_are_three_columns():
    columns, note = columns_of(Spent("Coverage", 14.2, None), Spent("Data", 312, 0.4182))
    assert list(columns) == ["Step", "Time", "Spent"]
    assert columns["Spent"] == ("–", "$0.42", "$0.42")
    assert "machines of your own are not counted" in note


def test_rented_machines_stand_beside_the_plan():
    columns, note = columns_of(
        Spent("Data", 312, 0.4182), Spent("Fine-tuning", 492, None, 3.2, "6–11 min, $2.10–3.90"), Spent("Evaluation", 60, None, 0.4)
    )
    assert columns["Machines"] == ("–", "$3.20", "$0.40", "$3.60")
    assert columns["Planned"][1] == "6–11 min, $2.10–3.90"
    assert "SkyPilot's catalog" in note
