"""The coverage review: run the tests with a command source, measure, judge, write down."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from core.assistant.project import Assistant, load_assistant
from core.assistant.repair import PatternChoice, version
from core.assistant.settings import Dialect
from core.dataset.infer import infer
from core.dialogue.action_server import HttpActions, ModuleActions, actions_for
from core.dialogue.actions import Actions
from core.dialogue.command_text import OFFERED
from core.dialogue.commands import CannotHandle, Command
from core.dialogue.engine import Engine
from core.dialogue.generator import LlmCommandGenerator, endpoint_of
from core.dialogue.production_prompt import is_ours
from core.dialogue.prompt import PromptRenderer
from core.dialogue.retrieval import OFF, Embedder, FlowRetriever, notices_of
from core.e2e.cases import TestCase, TestSuite
from core.e2e.coverage import LABELS, CoverageReport, histogram, measure
from core.e2e.fixtures import odd_preparations
from core.e2e.impossible import impossible
from core.e2e.output import failure_report, write_results
from core.e2e.patterns import choose_patterns
from core.e2e.reader import find_tests, read_tests
from core.e2e.recording import RecordedCommands, read_recording, write_recording
from core.e2e.results import TestResult
from core.e2e.runner import engine_for, run_test, run_tests
from core.e2e.side_by_side import sides
from core.e2e.skeleton import unfilled
from core.errors import CalmtuneError, ProblemsError, ProviderError, UsageError
from core.evaluation.gates import GateResult, coverage_gates
from core.llm.client import ChatClient

OnProgress = Callable[[int, int, str], None]
"""on_progress(done, total, name of the test)"""


@dataclass(frozen=True)
class Workbench:
    """An assistant made ready to run tests."""

    assistant: Assistant
    suite: TestSuite
    engine: Engine
    actions: Actions | None
    dialect: Dialect
    notices: tuple[str, ...]
    retriever: FlowRetriever | None = None
    """Chooses the flows that prompts list; None lists all."""

    def close(self) -> None:
        """End what runs the actions."""
        if isinstance(self.actions, (HttpActions, ModuleActions)):
            self.actions.close()

    def renderer(self, history_turns: int | None = None) -> PromptRenderer:
        """The prompt of this assistant: its owner's template where there is one, else ours."""
        template = self.owners_template
        engine, retriever = self.engine, self.retriever
        return PromptRenderer(
            engine.assistant, self.dialect, template, history_turns, engine.index, retriever=retriever
        )

    @property
    def owners_template(self) -> Path | None:
        """The prompt template that the owner wrote; one that an earlier connection left there is none."""
        template = self.assistant.settings.prompt_template
        return None if is_ours(template) else template

    @property
    def lists_some_flows(self) -> bool:
        """True when prompts list the flows that fit their message, since all would be too many."""
        return self.retriever is not None and self.retriever.embeds

    @property
    def flow_retrieval(self) -> Mapping[str, Any]:
        """What decides which flows prompts list, to be recorded. Raises what the embedder raises."""
        return self.retriever.facts if self.retriever else OFF


def workbench(
    assistant: Path,
    tests: str | None,
    dialect: Literal["auto"] | Dialect = "auto",
    patterns: PatternChoice = "auto",
    embedder: Embedder | None = None,
) -> Workbench:
    """Load an assistant and its tests; `patterns` other than auto overrule what the tests and the domain speak for, `embedder`
    switches flow retrieval on.

    Raises ProblemsError and UsageError.
    """
    loaded = load_assistant(assistant)
    suite = read_tests(Path(tests) if tests else find_tests(assistant), assistant)
    chosen, reason = choose_patterns(loaded, suite) if patterns == "auto" else (patterns, "chosen by hand")
    engine = Engine(loaded, None, chosen, require_actions=False)
    odd = dict.fromkeys(odd_preparations(suite, engine.assistant.domain))
    notices = [str(problem) for problem in (*loaded.warnings, *suite.warnings, *odd)]
    notices.append(f"conversation repair as in {version(chosen)}: {reason}")
    retriever = FlowRetriever(loaded.settings.flow_retrieval, embedder, engine.index) if embedder else None
    spoken = loaded.settings.dialect if dialect == "auto" else dialect
    return Workbench(loaded, suite, engine, actions_for(loaded), spoken, tuple(notices), retriever)


@dataclass(frozen=True)
class Review:
    """What the tests showed."""

    results: tuple[TestResult, ...]
    coverage: CoverageReport
    """Of the passed tests."""
    gates: tuple[GateResult, ...]
    summary: dict[str, Any]
    """As `calmtune coverage --json` prints it."""
    notices: tuple[str, ...]
    failure_reports: Mapping[str, str]
    """Test id → differences, transcript and line of a failed test."""
    sides: Mapping[str, Any] = field(default_factory=dict)
    """Test id → what a failed test expects beside what came of it (facts of `Sides`); {} where only verdicts are known."""


async def review(
    assistant: Path,
    tests: str | None,
    commands: str,
    *,
    folder: Path | None,
    total_min: float,
    per_flow_min: float,
    min_command_samples: int,
    dialect: Literal["auto"] | Dialect = "auto",
    patterns: PatternChoice = "auto",
    concurrency: int = 8,
    on_progress: OnProgress = lambda done, total, test: None,
    embedder: Embedder | None = None,
) -> Review:
    """Run the tests of an assistant and measure their coverage; artefacts go to `folder` unless it is None.

    `commands`: infer, llm, auto, or the path of a recording; `embedder` switches flow retrieval on.
    Raises ProblemsError, UsageError, ProviderError.
    """
    bench = workbench(assistant, tests, dialect, patterns, embedder)
    try:
        chosen, notice = choose_source(bench.assistant, commands)
        results = [_filled_in(result) for result in await _run(bench, chosen, concurrency, on_progress)]
    finally:
        bench.close()
    unanswered = [result for result in results if result.unanswered]
    if unanswered and len(unanswered) == len(results):
        raise ProviderError(f"no test could be run: {unanswered[0].error}")
    passed, failed = (
        [result for result in results if result.passed],
        [result for result in results if not result.passed],
    )
    reports = {True: measure(bench.assistant, passed), False: measure(bench.assistant, failed)}
    histograms = {True: histogram(passed), False: histogram(failed)}
    gates = coverage_gates(
        bench.assistant, reports[True], histograms[True], total_min, per_flow_min, min_command_samples
    )
    told = notices_of(bench.assistant, bench.retriever is not None)
    notices = [*bench.notices, *told, notice, *_action_notices(results), *_unoffered_notices(passed, bench)]
    if unanswered:
        counted = f"{len(unanswered)} of {len(results)} tests count as failed"
        notices.append(f"{counted} because the model could not be asked: run the review again")
    if folder is not None:
        notices += write_results(bench.suite, results, reports, folder, histograms)
        write_recording(passed, folder / "commands.yml", "v2")
    summary = summary_of(results, reports[True], histograms[True], gates)
    return Review(
        tuple(results),
        reports[True],
        tuple(gates),
        {**summary, "commands_from": chosen},
        tuple(filter(None, notices)),
        {result.case.id: failure_report(result) for result in failed},
        {result.case.id: sides(result).facts for result in failed},
    )


def _filled_in(result: TestResult) -> TestResult:
    """A skeleton's blanks pass, as it was played to be written; but what is said there is no user's, and no model may learn it."""
    blank = unfilled(result.case)
    return result if blank is None else replace(result, passed=False, failures=(), error=None, undecided=blank)


def choose_source(assistant: Assistant, commands: str) -> tuple[str, str]:
    """The command source to use ("infer", "llm" or a path) and a sentence about it."""
    if commands != "auto":
        if commands not in ("infer", "llm") and not Path(commands).is_file():
            raise UsageError(f"commands come from infer, llm or a recording; there is no file {commands}")
        return commands, ""
    llm = assistant.settings.llm
    if llm is None:
        return "infer", "no language model is configured: commands are inferred from the tests"
    if not llm.api_key_variable or not os.environ.get(llm.api_key_variable):
        missing = f"{llm.api_key_variable} is not set" if llm.api_key_variable else "it has no key"
        return (
            "infer",
            f"{llm.model} is configured, but {missing}: commands are inferred from the tests "
            "(llm as their source asks it all the same)",
        )
    return "llm", f"commands come from {llm.model}"


async def _run(bench: Workbench, commands: str, concurrency: int, on_progress: OnProgress) -> list[TestResult]:
    cases, done = bench.suite.cases, 0

    def finished(result: TestResult) -> None:
        nonlocal done
        done += 1
        on_progress(done, len(cases), result.case.name)

    if commands == "infer":
        results = []
        for case in cases:
            results.append(await infer_and_run(bench.engine, case, bench.actions))
            finished(results[-1])
        return results
    async with AsyncExitStack() as stack:
        if commands == "llm":
            source: Any = await stack.enter_async_context(_Model(bench, concurrency))
        else:
            source = read_recording(Path(commands)).source_for
        return await run_tests(
            bench.engine,
            cases,
            source,
            actions=bench.actions,
            require_actions=False,
            concurrency=concurrency,
            on_result=finished,
        )


class _Model:
    """The assistant's own language model as command source."""

    def __init__(self, bench: Workbench, concurrency: int) -> None:
        llm = bench.assistant.settings.llm
        if llm is None:
            raise UsageError("no language model is configured in config.yml and endpoints.yml; name one, or let commands come from infer")
        self._client = ChatClient(endpoint_of(llm), concurrency)
        self._generator = LlmCommandGenerator(
            self._client, bench.renderer(), bench.engine.index, bench.assistant.settings.max_characters, llm.max_tokens
        )

    async def __aenter__(self) -> LlmCommandGenerator:
        return self._generator

    async def __aexit__(self, *_: object) -> None:
        await self._client.__aexit__()


async def infer_and_run(engine: Engine, case: TestCase, actions: Actions | None) -> TestResult:
    """Infer the commands of one test and play them; what cannot be decided, or come true, is said in the result."""
    if (failure := impossible(case, engine.assistant)) is not None:
        return TestResult(case, False, failures=(failure,))
    engine = engine_for(engine, case, actions, require_actions=False)
    try:
        found = infer(engine, case)
    except ProblemsError:
        raise
    except CalmtuneError as error:
        return TestResult(case, False, error=str(error))
    if found.contradiction is not None or found.undecided is not None:
        failures = () if found.contradiction is None else (found.contradiction,)
        nearest = await _as_far_as(engine, case, found.nearest)
        return replace(nearest, passed=False, failures=failures, undecided=found.undecided)
    return await run_test(engine, case, RecordedCommands(case, found.turns))


async def _as_far_as(engine: Engine, case: TestCase, commands: Sequence[tuple[Command, ...] | None]) -> TestResult:
    """A test played with the commands that came nearest to it, to be looked at; it counts for nothing."""
    part = replace(case, turns=case.turns[: len(commands)])
    played = await run_test(engine, part, RecordedCommands(part, commands))
    return TestResult(case, False, played.turns, played.opening, warnings=played.warnings)


def _action_notices(results: list[TestResult]) -> list[str]:
    """Actions that could not be run, each once with the number of tests."""
    counts: dict[str, int] = {}
    for result in results:
        for warning in result.warnings:
            counts[warning] = counts.get(warning, 0) + 1
    return [f"{warning} ({count} test{'s' if count > 1 else ''})" for warning, count in counts.items()]


def _unoffered_notices(passed: list[TestResult], bench: Workbench) -> list[str]:
    """Commands that tests need although the prompt offers them to no model, each with the number of tests."""
    if bench.owners_template is not None:
        return []
    given = Counter(kind for result in passed for kind in histogram([result]))
    offered = {label for kind, label in LABELS.items() if kind in (*OFFERED[bench.dialect], CannotHandle)}
    return [
        f"{count} test{'s need' if count > 1 else ' needs'} the command {label}, of which prompts of form {bench.dialect} tell no model"
        for label, count in given.items()
        if label not in offered
    ]


def summary_of(
    results: list[TestResult], coverage: CoverageReport, commands: dict[str, int], gates: list[GateResult]
) -> dict[str, Any]:
    """What a review found, JSON-ready."""

    def reason(result: TestResult) -> str:
        return result.undecided or result.error or "; ".join(f"line {f.line}: {f.message}" for f in result.failures)

    def entries(keep: Callable[[TestResult], bool]) -> list[dict[str, str]]:
        return [{"test": result.case.id, "reason": reason(result)} for result in results if keep(result)]

    return {
        "passed": [{"test": result.case.id} for result in results if result.passed],
        "failed": entries(lambda result: not result.passed and result.undecided is None),
        "undecided": entries(lambda result: result.undecided is not None),
        "flows": [
            {
                "flow": flow.flow,
                "file": flow.file,
                "coverage": round(flow.coverage, 4),
                "steps": flow.steps,
                "missing": flow.missing,
                "span": list(flow.span),
                "lines": [list(lines) for lines in flow.missing_lines],
            }
            for flow in coverage.flows
        ],
        "total": round(coverage.total, 4),
        "commands": commands,
        "gates": [gate.measurement for gate in gates],
    }
