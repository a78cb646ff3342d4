"""What a run of tests leaves behind: runnable test files, tables, histograms, result lists, reports for people."""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from core.assistant.yaml_text import to_yaml
from core.dialogue.events import ActionRan, BotSaid, FlowCancelled, FlowStarted, SlotSet
from core.e2e.assertions import described
from core.e2e.cases import TestSuite
from core.e2e.coverage import CoverageReport
from core.e2e.results import TestResult

COLUMNS = ("Flow Name", "Coverage", "Num Steps", "Missing Steps", "Line Numbers")
_BAR_WIDTH = 40


# Test files


def suite_as_yaml(suite: TestSuite, keep: Collection[str]) -> str:
    """The tests of some ids (`file::name`) as one runnable test file.

    Fixtures and metadata are written where tests use them, stubs for each test by name, so that tests of several files
    do not meet. Tests of the same name in several files get the file's name added.
    """
    cases = [(file, case) for file in suite.files for case in file.cases if case.id in keep]
    names = [case.name for _, case in cases]
    fixtures: dict[str, Any] = {}
    metadata: dict[str, Any] = {}
    stubs: dict[str, Any] = {}
    written = []
    for file, case in cases:
        name = case.name if names.count(case.name) == 1 else f"{case.name} ({file.path})"
        source = {**case.source, "test_case": name}
        if source.get("fixtures"):
            source["fixtures"] = [
                _shared(fixtures, str(fixture), file.fixtures[str(fixture)], file.path)
                for fixture in source["fixtures"]
            ]
        if isinstance(source.get("metadata"), str):
            source["metadata"] = _shared(metadata, source["metadata"], file.metadata[source["metadata"]], file.path)
        source["steps"] = [_step(step, metadata, file.metadata, file.path) for step in source["steps"]]
        for action, answer in case.stubs.items():
            stubs[f"{name}::{action}"] = {
                "events": [dict(e) for e in answer.events],
                "responses": [dict(r) for r in answer.responses],
            }
        written.append(source)
    content: dict[str, Any] = {}
    if fixtures:
        content["fixtures"] = [
            {name: [{slot: value} for slot, value in slots.items()]} for name, slots in fixtures.items()
        ]
    if metadata:
        content["metadata"] = [{name: dict(values)} for name, values in metadata.items()]
    if stubs:
        content["stub_custom_actions"] = stubs
    content["test_cases"] = written
    return to_yaml(content)


def _shared(known: dict[str, Any], name: str, values: Mapping[str, Any], file: str) -> str:
    """The name to write values under: their own, or one with the file's name when another file uses it otherwise."""
    if known.setdefault(name, dict(values)) == dict(values):
        return name
    return _shared(known, f"{name} ({file})", values, file)


def _step(
    step: dict[str, Any], known: dict[str, Any], metadata: Mapping[str, Mapping[str, Any]], file: str
) -> dict[str, Any]:
    if isinstance(step.get("metadata"), str):
        return {**step, "metadata": _shared(known, step["metadata"], metadata[step["metadata"]], file)}
    return step


def inside(path: str) -> PurePosixPath:
    """The path of a test file as one that does not lead out of the folder it is put into."""
    return PurePosixPath(*(part for part in PurePosixPath(path).parts if part not in ("/", "..")))


# Tables


def coverage_csv(report: CoverageReport) -> str:
    """The recipe's table: one row a flow, then the total."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for flow in report.flows:
        writer.writerow(
            [flow.name, f"{100 * flow.coverage:.2f}%", flow.steps, flow.missing, ranges(flow.missing_lines)]
        )
    writer.writerow(["Total", f"{100 * report.total:.2f}%", report.steps, report.missing, ""])
    return text.getvalue()


def ranges(lines: Sequence[tuple[int, int]]) -> str:
    """[5-5, 6-9]"""
    return "[" + ", ".join(f"{first}-{last}" for first, last in lines) + "]"


def histogram_text(commands: Mapping[str, int]) -> str:
    """Bars of counts, one line a command."""
    most = max(commands.values(), default=0)
    width = max(map(len, commands), default=0)
    lines = []
    for name, count in commands.items():
        bar = "█" * max(1, round(_BAR_WIDTH * count / most))
        lines.append(f"{name:<{width}}  {bar} {count}")
    return "\n".join(lines) or "no commands"


def write_histogram(commands: Mapping[str, int], title: str, path: Path) -> str | None:
    """A PNG of the histogram; a sentence why not when matplotlib is not installed."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return f"{path.name} was not drawn; install calmtune[plots]"
    figure = Figure(figsize=(8, 0.5 * max(2, len(commands)) + 1), layout="constrained")
    axes = figure.add_subplot()
    names = list(commands)[::-1]
    bars = axes.barh(names, [commands[name] for name in names], color="#4c78a8")
    axes.bar_label(bars, padding=3)
    axes.set_title(title)
    axes.set_xlabel("commands")
    axes.margins(x=0.1)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)
    return None


def write_results(
    suite: TestSuite,
    results: Sequence[TestResult],
    reports: Mapping[bool, CoverageReport],
    folder: Path,
    histograms: Mapping[bool, Mapping[str, int]],
) -> list[str]:
    """All artefacts of a coverage review into a folder; `reports` and `histograms` by passed. Returns notices."""
    folder.mkdir(parents=True, exist_ok=True)
    notices = []
    for passed, word in ((True, "passed"), (False, "failed")):
        ids = {result.case.id for result in results if result.passed is passed}
        (folder / f"{word}.yml").write_text(suite_as_yaml(suite, ids), encoding="utf-8")
        table = folder / f"coverage_report_for_{word}_tests.csv"
        table.write_text(coverage_csv(reports[passed]), encoding="utf-8")
        histogram = histograms[passed]
        notice = write_histogram(
            histogram, f"Commands in {word} tests", folder / f"commands_histogram_for_{word}_tests.png"
        )
        notices += [notice] if notice else []
    (folder / "e2e_results.yml").write_text(results_yaml(results), encoding="utf-8")
    return notices


def results_yaml(results: Iterable[TestResult]) -> str:
    """`test_results:` with name, pass_status, expected_steps and, where it failed, the difference."""
    entries = []
    for result in results:
        entry: dict[str, Any] = {
            "name": result.case.name,
            "pass_status": result.passed,
            "expected_steps": result.case.source.get("steps", []),
        }
        if not result.passed:
            entry["difference"] = difference(result)
        entries.append(entry)
    return to_yaml({"test_results": entries})


# Reports for people


def difference(result: TestResult) -> list[str]:
    """The test up to its last failure: what held (" "), what was expected ("+"), what came instead ("-")."""
    failures = {id(failure.check): failure for failure in result.failures}
    lines: list[str] = []
    end = 0
    for user, checks in ((None, result.case.opening), *((turn.user, turn.checks) for turn in result.case.turns)):
        lines += [] if user is None else [f"  user: {user}"]
        for check in checks:
            failure = failures.get(id(check))
            lines += [f"  {described(check)}"] if failure is None else failure.difference
            end = end if failure is None else len(lines)
    return lines[:end] + [f"! {reason}" for reason in (result.error, result.undecided) if reason]


def failure_report(result: TestResult) -> str:
    """A failed test with its place, the conversation and each difference."""
    lines = [f"{result.case.file}:{result.case.line}: {result.case.name}"]
    failed = {failure.line for failure in result.failures}
    lines += transcript(result)
    for failure in result.failures:
        lines.append(f"  line {failure.line}: {failure.message}")
        lines += [f"    {line}" for line in failure.difference]
    if result.skipped_checks and failed:
        lines.append(f"  {result.skipped_checks} more checks were not tried")
    lines += [f"  {reason}" for reason in (result.error, result.undecided) if reason]
    return "\n".join(lines)


def transcript(result: TestResult) -> list[str]:
    """The conversation as played, with what happened inside."""
    lines = []
    for record in result.turns:
        lines.append(f"    USER: {record.turn.user}")
        for event in record.events:
            if isinstance(event, BotSaid):
                lines.append(f"    AI: {event.text or ''}" + (f"   ({event.utter})" if event.utter else ""))
            elif isinstance(event, SlotSet) and not event.reset:
                lines.append(f"      {event.name} = {event.value!r}")
            elif isinstance(event, (FlowStarted, FlowCancelled)) and not event.flow.startswith("pattern_"):
                lines.append(f"      {event.flow} {'started' if isinstance(event, FlowStarted) else 'cancelled'}")
            elif isinstance(event, ActionRan) and event.name not in ("action_listen", "action_run_slot_rejections"):
                lines.append(f"      {event.name} ran")
    return lines


def summary_line(results: Sequence[TestResult]) -> str:
    """=== 2 failed, 7 passed ==="""
    undecided = sum(result.undecided is not None for result in results)
    failed = sum(not result.passed for result in results) - undecided
    parts = [(failed, "failed"), (undecided, "undecided"), (sum(result.passed for result in results), "passed")]
    return f"=== {', '.join(f'{count} {word}' for count, word in parts if count) or 'no tests'} ==="
