"""Files that `rasa test e2e` reads and writes: selected tests for it, its results and its coverage table, as each version names them."""

from __future__ import annotations

import csv
import re
import shutil
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from core.assistant.project import Assistant
from core.assistant.source import Reader, YamlMapping, read_yaml
from core.e2e.cases import TestCase, TestSuite, Turn
from core.e2e.coverage import CoverageReport, FlowCoverage, measure
from core.e2e.output import COLUMNS, inside, suite_as_yaml
from core.e2e.reader import conftests
from core.e2e.results import Failure, TestResult
from core.errors import Problem, ProblemsError, StepFailed

RESULTS = "e2e_results*.y*ml"
"""e2e_results.yml of older versions, e2e_results_passed.yml and e2e_results_failed.yml of newer ones."""
_VERDICTS = {"passed": True, "failed": False}
_LINES = re.compile(r"(\d+)\s*-\s*(\d+)")
_USER = re.compile(r"\s*(?:- )?user: (.*)")


def write_tests(suite: TestSuite, keep: Collection[str], folder: Path, root: Path) -> dict[str, str]:
    """Write the tests of some ids, a file for each of theirs, with fixtures, metadata, stubs and conftest files; returns name → id.

    A name that several files have gets the file's name added: results tell tests by their names. `root` is the assistant's folder.
    """
    times = Counter(case.name for case in suite.cases if case.id in keep)
    ids: dict[str, str] = {}
    for file in suite.files:
        cases = []
        for case in file.cases:
            if case.id in keep:
                name = case.name if times[case.name] == 1 else f"{case.name} ({file.path})"
                ids[name] = case.id
                cases.append(replace(case, name=name))
        if cases:
            own = TestSuite((replace(file, cases=tuple(cases)),))
            place = folder / inside(file.path)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(suite_as_yaml(own, {case.id for case in cases}), encoding="utf-8")
            _copy_conftests(file.path, place, root)
    return ids


def _copy_conftests(file: str, place: Path, root: Path) -> None:
    """They also name the model that judges texts, and count in their folder and below."""
    for conftest in conftests(root / file, root):
        above = len((root / file).resolve().parts) - len(conftest.resolve().parts)
        shutil.copy(conftest, place.parents[above] / conftest.name)


# Results


@dataclass(frozen=True)
class Outcome:
    """What the command says of one test."""

    passed: bool
    difference: tuple[str, ...] = ()
    """Lines beginning with " " (as expected), "+" (expected), "-" (actual); () where it gives none."""


def read_outcomes(folder: Path) -> dict[str, Outcome]:
    """Test name → outcome, from the result lists in a folder, else from passed.yml and failed.yml there.

    Raises ProblemsError for files that hold something else.
    """
    found: dict[str, Outcome] = {}
    for path in sorted(folder.glob(RESULTS)):
        found.update(_of_list(path))
    for path in sorted(folder.glob("*.y*ml")):
        if path.stem in _VERDICTS:
            for name in names_in(path):
                found.setdefault(name, Outcome(_VERDICTS[path.stem]))
    return found


def _of_list(path: Path) -> Iterator[tuple[str, Outcome]]:
    content = read_yaml(path, path.name)
    problems: list[Problem] = []
    reader = Reader(path.name, problems)
    if not isinstance(content, YamlMapping) or "test_results" not in content:
        raise ProblemsError([Problem(path.name, 0, "there is no list `test_results`, which `rasa test e2e` writes")])
    for item, line in reader.items(content, "test_results"):
        if not isinstance(item, YamlMapping) or not isinstance(item.get("pass_status"), bool):
            reader.error(line, "a result has a name and `pass_status: true` or `false`")
            continue
        lines = tuple(str(text) for text, _ in reader.items(item, "difference"))
        yield reader.text(item, "name"), Outcome(item["pass_status"], lines)
    if problems:
        raise ProblemsError(problems)


def names_in(path: Path) -> dict[str, int]:
    """Names of the tests in a file, each with its line. Raises ProblemsError."""
    content = read_yaml(path, path.name)
    problems: list[Problem] = []
    reader = Reader(path.name, problems)
    names: dict[str, int] = {}
    if isinstance(content, YamlMapping):
        for item, line in reader.items(content, "test_cases"):
            if isinstance(item, YamlMapping) and (name := reader.text(item, "test_case")):
                names[name] = line
            else:
                reader.error(line, "a test needs a name: `- test_case: what it shows`")
    if problems:
        raise ProblemsError(problems)
    return names


def as_result(case: TestCase, outcome: Outcome | None) -> TestResult:
    """An outcome as our own runner would tell it; None says that the command left none."""
    if outcome is None:
        return TestResult(case, False, error="rasa left no result for this test")
    if outcome.passed:
        return TestResult(case, True)
    turn, lines = _where(case, outcome.difference)
    checks = [*(turn.checks if turn else ()), *case.opening, *(check for turn in case.turns for check in turn.checks)]
    expected = ", ".join(line[1:].strip() for line in lines if line.startswith("+"))
    actual = ", ".join(line[1:].strip() for line in lines if line.startswith("-"))
    message = f"expected {expected or 'nothing more'}, but rasa got {actual or 'nothing'}"
    if not lines:
        message = "it failed; the output of `rasa test e2e` says which check did not hold"
    if not checks:
        return TestResult(case, False, error=message)
    return TestResult(case, False, failures=(Failure(checks[0], turn.line if turn else case.line, message, lines),))


def _where(case: TestCase, difference: tuple[str, ...]) -> tuple[Turn | None, tuple[str, ...]]:
    """The turn in which a test went wrong, where the difference shows its message, and the lines from there on that differ."""
    changed = [at for at, line in enumerate(difference) if line[:1] in "+-" and line.strip()]
    if not changed:
        return None, ()
    said = [match[1].strip() for line in difference[: changed[0]] if (match := _USER.match(line))]
    at = len(said) - 1
    known = said and at < len(case.turns) and case.turns[at].user.strip() == said[-1].strip("'\"")
    return case.turns[at] if known else None, difference[changed[0] : changed[-1] + 1]


# Coverage


def read_coverage(path: Path, assistant: Assistant) -> CoverageReport:
    """The coverage table of the command; flows it does not name are not covered, and patterns have no row.

    Raises StepFailed for a file that is no such table.
    """
    flows = {flow.flow: flow for flow in measure(assistant, ()).flows}
    for row in _rows(path):
        _, separator, id = row[COLUMNS[0]].strip().rpartition("::")
        if separator and id in flows:  # the last row is a total
            try:
                steps, missing = int(float(row[COLUMNS[2]])), int(float(row[COLUMNS[3]]))
            except (ValueError, OverflowError) as error:
                raise StepFailed(f"{path.name} has no numbers of steps for {id}; is it of another version?") from error
            lines = tuple(sorted((int(first), int(last)) for first, last in _LINES.findall(row[COLUMNS[4]])))
            flows[id] = replace(flows[id], steps=steps, missing=missing, missing_lines=lines)
    return CoverageReport(tuple(sorted(flows.values(), key=_by_coverage)))


def _by_coverage(flow: FlowCoverage) -> tuple[float, str]:
    return -flow.coverage, flow.name


def _rows(path: Path) -> Iterator[Mapping[str, str]]:
    """Rows by column; some writers put an unnamed column of row numbers before the others."""
    try:
        with path.open(encoding="utf-8", errors="replace", newline="") as file:
            reader = csv.DictReader(file, skipinitialspace=True)
            columns = {str(name).strip(): name for name in reader.fieldnames or ()}
            missing = [name for name in COLUMNS if name not in columns]
            if missing:
                raise StepFailed(f"{path.name} has no column {missing[0]}; is it of another version?")
            for row in reader:
                yield {name: row[columns[name]] or "" for name in COLUMNS}
    except csv.Error as error:
        raise StepFailed(f"{path.name} is no table: {error}") from error
