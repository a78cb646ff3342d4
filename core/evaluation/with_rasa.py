"""Reviews and verdicts by the `rasa` command, in the same values as by our own runtime.

What it does not leave in files is missing or found in another way: it only draws the histogram of commands, so the commands of passed
tests are inferred from the tests; of failed ones it tells the difference, not what the model wrote.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from core.assistant.repair import PatternChoice
from core.assistant.settings import Dialect
from core.e2e.cases import TestCase
from core.e2e.coverage import CoverageReport, histogram, measure
from core.e2e.output import failure_report, results_yaml, suite_as_yaml
from core.e2e.rasa import Rasa
from core.e2e.rasa_files import read_coverage
from core.e2e.rasa_project import RasaProject
from core.e2e.recording import Recording, write_recording
from core.e2e.results import TestResult
from core.errors import StepFailed
from core.evaluation.differences import failed_tests
from core.evaluation.failures import group
from core.evaluation.gates import coverage_gates
from core.evaluation.review import OnProgress, Review, Workbench, infer_and_run, summary_of, workbench
from core.evaluation.verdict import Verdict
from core.llm.client import Endpoint
from core.serving.connect import KEY_VARIABLE, Connection, patch

COMMANDS_FROM = "rasa"
"""What a review by it names as the source of commands."""
_PASSED_TABLE = "coverage_report_for_passed_tests.csv"


async def review_with_rasa(
    rasa: Rasa,
    assistant: Path,
    tests: str | None,
    *,
    copy: Path,
    folder: Path,
    total_min: float,
    per_flow_min: float,
    min_command_samples: int,
    dialect: Literal["auto"] | Dialect = "auto",
    patterns: PatternChoice = "auto",
    on_progress: OnProgress = lambda done, total, test: None,
) -> Review:
    """As `review`, with the command's own verdicts and coverage table. It trains and works in `copy`; artefacts go to `folder`.

    Raises ProblemsError, UsageError, StepFailed with what the command said last, DeadlineError.
    """
    bench = workbench(assistant, tests, dialect, patterns)
    try:
        project = RasaProject.copy(rasa, assistant, copy)
        await project.train()
        verdicts = await project.test(bench.suite, {case.id for case in bench.suite.cases}, folder)
        results, unknown = await _with_commands(bench, verdicts, on_progress)
    finally:
        bench.close()
    passed = [result for result in results if result.passed]
    coverage = _coverage(folder / _PASSED_TABLE, bench, passed)
    commands = histogram(passed)
    gates = coverage_gates(bench.assistant, coverage, commands, total_min, per_flow_min, min_command_samples)
    _complete(folder, bench, results)
    notices = list(bench.notices)
    if unknown:
        notices.append(
            f"commands of {unknown} passed tests cannot be told from the tests and are not counted; "
            f"{folder.name}/commands_histogram_for_passed_tests.png shows them all"
        )
    return Review(
        tuple(results),
        coverage,
        tuple(gates),
        {**summary_of(results, coverage, commands, gates), "commands_from": COMMANDS_FROM},
        tuple(notices),
        {result.case.id: failure_report(result) for result in results if not result.passed},
    )


async def _with_commands(
    bench: Workbench, verdicts: Sequence[TestResult], on_progress: OnProgress
) -> tuple[list[TestResult], int]:
    """The results with inferred commands where they passed, and of how many of those nothing could be inferred."""
    results, unknown = [], 0
    for done, verdict in enumerate(verdicts, 1):
        played = await infer_and_run(bench.engine, verdict.case, bench.actions) if verdict.passed else verdict
        unknown += verdict.passed and not played.passed
        results.append(played if played.passed else verdict)
        on_progress(done, len(verdicts), verdict.case.name)
    return results, unknown


def _coverage(table: Path, bench: Workbench, passed: Sequence[TestResult]) -> CoverageReport:
    if table.is_file():
        return read_coverage(table, bench.assistant)
    if passed:
        raise StepFailed(
            f"`rasa test e2e` left no {table.name}, although {len(passed)} tests passed; look at its output"
        )
    return measure(bench.assistant, ())


def _complete(folder: Path, bench: Workbench, results: Sequence[TestResult]) -> None:
    """Add what the steps below read and this version of the command did not write."""
    for passed, word in ((True, "passed"), (False, "failed")):
        path = folder / f"{word}.yml"
        if not path.exists():
            ids = {result.case.id for result in results if result.passed is passed}
            path.write_text(suite_as_yaml(bench.suite, ids), encoding="utf-8")
    if not (folder / "e2e_results.yml").exists():
        (folder / "e2e_results.yml").write_text(results_yaml(results), encoding="utf-8")
    write_recording([result for result in results if result.turns and result.passed], folder / "commands.yml", "v2")


# A tuned model


async def evaluate_with_rasa(
    rasa: Rasa,
    bench: Workbench,
    endpoint: Endpoint,
    sets: Mapping[str, Sequence[TestCase]],
    folder: Path,
    flow_retrieval: Mapping[str, Any],
) -> list[Verdict]:
    """As `evaluate`: a copy of the assistant in `folder` is pointed at the endpoint, trained, and plays each set of tests.

    `flow_retrieval`: as recorded with the rows; the copy lists flows in prompts accordingly.
    Raises UsageError when the configuration cannot be changed, StepFailed with what the command said last, DeadlineError.
    """
    variables = {KEY_VARIABLE: endpoint.api_key} if endpoint.api_key else {}
    project = RasaProject.copy(rasa, bench.assistant.root, folder / "assistant", variables)
    connection = Connection(
        endpoint.base_url or "", endpoint.model, needs_key=bool(variables), flow_retrieval=flow_retrieval
    )
    patch(project.root, connection).apply(project.root)
    await project.train()
    verdicts = []
    for name, cases in sets.items():
        ids = {case.id for case in cases}
        results = await project.test(bench.suite, ids, folder / "rasa" / name) if ids else []
        wrong = tuple(_wrong_turn(result) for result in results if result.failures)
        verdicts.append(
            Verdict(
                name,
                (tuple(results),),
                wrong,
                failures=group(failed_tests(results, Recording({}), bench.engine, bench.dialect)),
            )
        )
    return verdicts


def _wrong_turn(result: TestResult) -> dict[str, Any]:
    """Where a test went wrong, as far as the command tells: in expectations, not in commands."""
    (failure,) = result.failures
    turns = result.case.turns
    number = next((at for at, turn in enumerate(turns, 1) if turn.line == failure.line), 1)
    lines = {mark: "\n".join(line[1:].strip() for line in failure.difference if line[:1] == mark) for mark in "+-"}
    return {
        "test": result.case.id,
        "turn": number,
        "user": turns[number - 1].user if turns else "",
        "expected": lines["+"] or None,
        "predicted": lines["-"] or failure.message,
    }
