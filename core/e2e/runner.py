"""Playing tests: each turn asks the command source, runs the engine and judges what happened."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterable
from typing import ParamSpec, TypeVar

from core.dialogue.actions import Actions, StubActions
from core.dialogue.engine import Engine
from core.dialogue.events import Event, StepVisited, Warned
from core.dialogue.source import CommandSource, Prediction, UserMessage
from core.dialogue.tracker import Tracker
from core.e2e.assertions import NEEDS_JUDGE, Judgement, judge
from core.e2e.cases import TestCase, Turn
from core.e2e.results import Failure, TestResult, TurnRecord
from core.errors import CalmtuneError, Problem, ProblemsError, ProviderError

OnResult = Callable[[TestResult], None]
_P = ParamSpec("_P")
_R = TypeVar("_R")
_log = logging.getLogger(__name__)


def engine_for(engine: Engine, case: TestCase, actions: Actions | None = None, require_actions: bool = True) -> Engine:
    """The engine with a test's own stubs as its actions, or with `actions` when the test stubs nothing."""
    if case.stubs:
        return engine.with_actions(StubActions(case.stubs), require_actions=True)
    return engine.with_actions(actions, require_actions)


def begin(engine: Engine, case: TestCase) -> tuple[Tracker, list[Event], tuple[Failure, ...]]:
    """A conversation ready for the first user message: session started, fixtures set, the greeting judged."""
    tracker = engine.new_tracker(case.id)
    events = engine.start(tracker)
    judgement = judge(case.opening, events, tracker, engine.assistant.domain)
    for name, value in case.fixture_slots.items():
        tracker.slots[name] = value
    return tracker, events, judgement.failures


async def run_test(engine: Engine, case: TestCase, source: CommandSource) -> TestResult:
    """Play one test on an engine that has the test's actions (`engine_for`). What goes wrong becomes `result.error`.

    Raises ProblemsError for a pattern in the assistant or the test that takes too long: what is wrong in their files ends all tests.
    """
    play = _Play(engine, case, source)
    try:
        await play.run()
    except ProblemsError:
        raise
    except CalmtuneError as error:
        play.error, play.unanswered = str(error), isinstance(error, ProviderError)
    except Exception as error:  # actions answer what they like; one test must not end the others
        _log.debug("test %s broke", case.id, exc_info=True)
        play.error = f"the test could not be played to its end: {type(error).__name__}: {error}"
    return play.result()


async def run_tests(
    engine: Engine,
    cases: Iterable[TestCase],
    source: CommandSource | Callable[[TestCase], CommandSource],
    *,
    actions: Actions | None = None,
    require_actions: bool = True,
    concurrency: int = 8,
    on_result: OnResult | None = None,
    fail_fast: bool = False,
) -> list[TestResult]:
    """Play tests, `concurrency` at a time; results come in the order of the cases (without those `fail_fast` left out).

    `source` is one for all, or a function that gives each test its own; where it raises, that test has failed.
    """
    cases = list(cases)
    results: list[TestResult | None] = [None] * len(cases)
    limit = asyncio.Semaphore(concurrency)
    stop = asyncio.Event()

    async def play(at: int, case: TestCase) -> None:
        async with limit:
            if stop.is_set():
                return
            try:
                own = source(case) if callable(source) else source
                result = await run_test(engine_for(engine, case, actions, require_actions), case, own)
            except ProblemsError:
                raise
            except CalmtuneError as error:
                result = TestResult(case, False, error=str(error))
            results[at] = result
            if on_result is not None:
                on_result(result)
            if fail_fast and not result.passed:
                stop.set()

    try:
        async with asyncio.TaskGroup() as group:
            for at, case in enumerate(cases):
                group.create_task(play(at, case))
    except* ProblemsError as found:
        raise ProblemsError(_problems(found)) from None
    return [result for result in results if result is not None]


def _problems(errors: BaseExceptionGroup[ProblemsError]) -> Iterable[Problem]:
    for error in errors.exceptions:
        yield from error.problems if isinstance(error, ProblemsError) else _problems(error)


class _Play:
    """One test being played."""

    def __init__(self, engine: Engine, case: TestCase, source: CommandSource) -> None:
        self.engine, self.case, self.source = engine, case, source
        self.opening: list[Event] = []
        self.turns: list[TurnRecord] = []
        self.failures: list[Failure] = []
        self.skipped = 0
        self.counts: Counter[tuple[str, bool]] = Counter()
        self.error: str | None = None
        self.unanswered = False
        self.warnings: list[str] = []

    async def run(self) -> None:
        tracker, self.opening, failures = await self._call(begin, self.engine, self.case)
        self.failures.extend(failures)
        for position, turn in enumerate(self.case.turns):
            message = UserMessage(turn.user, turn.metadata)
            payload = self.engine.payload_commands(turn.user)
            prediction = None if payload is not None else await self.source.predict(tracker, message)
            commands = prediction.commands if prediction is not None else payload or ()
            events = await self._call(self.engine.handle, tracker, message, commands)
            self._record(turn, prediction, events)
            judgement = judge(turn.checks, events, tracker, self.engine.assistant.domain, turn)
            self._count(judgement, turn)
            if judgement.failures and turn.uses_assertions:
                self.skipped += sum(len(later.checks) for later in self.case.turns[position + 1 :])
                return

    async def _call(self, function: Callable[_P, _R], *args: _P.args, **kwargs: _P.kwargs) -> _R:
        """Custom actions may block, so what can reach one runs in a thread."""
        if self.engine.may_block:
            return await asyncio.to_thread(function, *args, **kwargs)
        return function(*args, **kwargs)

    def _record(self, turn: Turn, prediction: Prediction | None, events: list[Event]) -> None:
        executed = getattr(events[0], "commands", ())
        self.turns.append(TurnRecord(turn, prediction, executed, tuple(events)))

    def _count(self, judgement: Judgement, turn: Turn) -> None:
        self.failures.extend(judgement.failures)
        self.skipped += len(judgement.skipped)
        unjudged = [check.kind for check in judgement.skipped if check.kind in NEEDS_JUDGE]
        self.warnings += [f"{kind} was skipped: no model judges texts here" for kind in unjudged]
        if turn.uses_assertions:
            self.counts.update((check.kind, True) for check in judgement.passed)
            self.counts.update((failure.check.kind, False) for failure in judgement.failures)

    def result(self) -> TestResult:
        events = [*self.opening, *(event for record in self.turns for event in record.events)]
        met = [event.message for event in events if isinstance(event, Warned)]
        kinds = sorted({kind for kind, _ in self.counts})
        return TestResult(
            case=self.case,
            passed=not self.failures and self.error is None,
            turns=tuple(self.turns),
            opening=tuple(self.opening),
            failures=tuple(self.failures),
            skipped_checks=self.skipped,
            error=self.error,
            unanswered=self.unanswered,
            visited=frozenset((event.flow, event.step) for event in events if isinstance(event, StepVisited)),
            assertion_counts=tuple((kind, self.counts[kind, True], self.counts[kind, False]) for kind in kinds),
            warnings=tuple(dict.fromkeys([*met, *self.warnings])),
        )
