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
@click.option(
    "--skeleton",
    metavar="FLOW[:STEP]",
    help="Print tests to fill in instead, which reach a step (its id or a line of it) or all of a flow that no test reaches.",
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
    skeleton: str | None,
    as_json: bool,
) -> None:
    """Run the tests of the assistant in PATH and measure which flow steps and commands they cover."""
    import asyncio

    if skeleton is not None:
        _print_skeleton(path, tests, skeleton, commands, patterns)
        return
    from core.e2e.output import histogram_text, ranges, summary_line
    from core.errors import GateFailed
    from core.evaluation.review import review
    from tui import output

    with output.writing(out):
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


def _print_skeleton(path: Path, tests: str | None, wanted: str, commands: str, patterns: PatternChoice) -> None:
    import asyncio

    from core.errors import StepFailed
    from core.evaluation.tests_to_write import skeleton_of
    from tui import output

    found, folder = asyncio.run(skeleton_of(path, tests, wanted, commands, patterns))
    for flow, step in found.unreachable:
        output.narrate(f"no conversation was found that gets to step {step} of flow {flow}")
    if found.unreachable and not found.text:
        raise StepFailed(f"there is no test to write for {wanted}")
    if not found.text:
        output.narrate(f"the tests reach every step of {wanted}")
        return
    output.data(found.text.rstrip("\n"))
    place = folder.parent if folder.is_file() else folder
    output.narrate(f"fill in what stands in <…> and save it beside the tests, e.g. as {place / found.file}")
