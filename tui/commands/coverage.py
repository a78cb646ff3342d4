"""The coverage review alone, with everything it found on stdout."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from tui.opening import (
    json_option,
    patterns_option,
)

if TYPE_CHECKING:
    from core.assistant.repair import PatternChoice


@click.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--tests", help="Test file, folder or file.yml::name; found in the assistant's folder when not given.")
@click.option(
    "--commands",
    default="auto",
    metavar="infer|llm|FILE",
    help="Where commands come from; auto takes llm if it can be asked.",
)
@patterns_option
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("e2e_coverage_results"),
    show_default=True,
    help="Folder for the results.",
)
@click.option(
    "--total-min", type=click.FloatRange(0, 1), default=0.90, show_default=True, help="Share of all steps to reach."
)
@click.option(
    "--flow-min",
    type=click.FloatRange(0, 1),
    default=0.80,
    show_default=True,
    help="Share of each flow's steps to reach.",
)
@json_option
def coverage(
    path: Path,
    tests: str | None,
    commands: str,
    patterns: PatternChoice,
    out: Path,
    total_min: float,
    flow_min: float,
    as_json: bool,
) -> None:
    """Run the tests of the assistant in PATH and measure which flow steps and commands they cover."""
    import asyncio

    from core.e2e.output import histogram_text, ranges, summary_line
    from core.errors import GateFailed
    from core.evaluation.review import review
    from tui import output

    found = asyncio.run(
        review(
            path,
            tests,
            commands,
            folder=out,
            total_min=total_min,
            per_flow_min=flow_min,
            min_command_samples=1,
            patterns=patterns,
        )
    )
    for notice in found.notices:
        output.narrate(notice)
    for report in found.failure_reports.values():
        output.narrate(report)
    if as_json:
        output.as_json(found.summary)
    else:
        rows = [
            [flow.name, f"{100 * flow.coverage:.2f}%", str(flow.steps), str(flow.missing), ranges(flow.missing_lines)]
            for flow in found.coverage.flows
        ]
        total = found.coverage
        rows.append(["Total", f"{100 * total.total:.2f}%", str(total.steps), str(total.missing), ""])
        output.data(output.table(rows, ["Flow Name", "Coverage", "Num Steps", "Missing Steps", "Line Numbers"]))
        output.data("\n" + histogram_text(found.summary["commands"]))
        output.data("\n" + summary_line(found.results))
        for gate in found.gates:
            output.data(
                f"{'passed' if gate.passed else 'FAILED'}: {gate.name}: {gate.measured} (required {gate.required})"
            )
    output.narrate(f"results are in {out}")
    if not all(gate.passed for gate in found.gates):
        failed = ", ".join(gate.name for gate in found.gates if not gate.passed)
        raise GateFailed(f"not yet: {failed}")
