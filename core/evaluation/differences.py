"""Why a test failed: the first turn in which the model wrote other commands than expected, and what was wrong with them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from core.assistant.settings import Dialect
from core.dataset.conversation import replay
from core.dialogue.cleanup import clean_up
from core.dialogue.command_text import Parsed, as_line, as_lines, parse
from core.dialogue.commands import CannotHandle, Command, SetSlot, StartFlow
from core.dialogue.engine import Engine
from core.dialogue.source import Prediction
from core.dialogue.stack import top_user_frame
from core.dialogue.tracker import Tracker
from core.e2e.coverage import LABELS
from core.e2e.recording import Recording
from core.e2e.results import TestResult, TurnRecord
from core.evaluation.command_scores import is_valid
from core.evaluation.failures import Cause, FailedTest

_T = TypeVar("_T")


def failed_tests(
    results: Iterable[TestResult], expected: Recording, engine: Engine, dialect: Dialect
) -> tuple[FailedTest, ...]:
    """What went wrong in each failed test; passed ones are left aside.

    `engine` is one for the assistant that was tested, `dialect` the form of commands the model was asked for. Commands differ when what
    the engine makes of them does: what changes nothing (starting the active flow, a number written otherwise) is no difference.
    """
    return tuple(
        _explained(result, expected.turns.get(result.case.id, ()), engine, dialect)
        for result in results
        if not result.passed
    )


@dataclass(frozen=True)
class _Difference:
    """Between what a turn called for and what the model wrote."""

    cause: Cause
    want: tuple[Command, ...]
    culprit: Command | None
    """The first command that is missing, else the first that is too much, of the kind that the cause is about."""


def _explained(
    result: TestResult, recorded: Sequence[tuple[Command, ...] | None], engine: Engine, dialect: Dialect
) -> FailedTest:
    tracker = engine.new_tracker()
    place = broken = _broken_turn(result)
    found: _Difference | None = None
    known = bool(result.turns) and result.error is None and result.undecided is None
    for at, (_, record) in enumerate(zip(replay(tracker, result), result.turns, strict=True)):
        if at > broken:
            break
        if record.prediction is not None:
            wanted = _at(recorded, at)
            known = known and wanted is not None
            if wanted is not None:
                found = _difference(clean_up(wanted, tracker, engine.index), record, engine, dialect)
        if found or at == broken:
            place = at
            break
    turn, played, wanted = _at(result.case.turns, place), _at(result.turns, place), _at(recorded, place)
    culprit = found.culprit if found else None
    return FailedTest(
        test=result.case.id,
        cause=found.cause if found else "same commands" if known else "not known",
        flow=_flow(found.want if found else wanted or (), culprit, tracker),
        command=LABELS.get(type(culprit), ""),
        slot=culprit.name if isinstance(culprit, SetSlot) else "",
        value=as_line(culprit).removeprefix(f"set slot {culprit.name} ") if isinstance(culprit, SetSlot) else "",
        turn=place + 1,
        line=turn.line if turn else result.case.line,
        user=turn.user if turn else "",
        expected=None if wanted is None else "\n".join(as_lines(wanted)),
        predicted=_predicted(played.prediction) if played and played.prediction else None,
        conversation=(
            *(f"{who}: {text}" for who, text in tracker.transcript()),
            *([f"USER: {turn.user}"] if turn else []),
        ),
        reason=_reason(result),
    )


def _broken_turn(result: TestResult) -> int:
    """Position of the turn with the first check that failed; -1 before the first turn; past the last one played after an error."""
    if not result.failures:
        return len(result.turns)
    first = result.failures[0]
    turns = result.case.turns
    holding = (at for at, turn in enumerate(turns) if first.check in turn.checks)
    return next(holding, sum(turn.line <= first.line for turn in turns) - 1)


def _at(turns: Sequence[_T], position: int) -> _T | None:
    return turns[position] if 0 <= position < len(turns) else None


def _difference(want: tuple[Command, ...], record: TurnRecord, engine: Engine, dialect: Dialect) -> _Difference | None:
    """None when the engine makes the same of the answer as of the commands `want`, in any order."""
    if set(as_lines(want)) == set(as_lines(record.commands)):
        return None
    assert record.prediction is not None
    answer = _read(record.prediction, dialect)
    got = record.commands
    if any(isinstance(command, CannotHandle) for command in got) and answer.commands:
        got = answer.commands  # the engine could do nothing with them: they tell more than that
    startable = {flow.id for flow in engine.index.flows.values() if not flow.is_pattern}
    missing, extra = _without(want, got), _without(got, want)
    if not is_valid(answer, startable, engine.index.slots):
        return _Difference("invalid command", want, next(iter((*missing, *extra)), None))
    cause, culprit = _cause(missing, extra, {command.name for command in got if isinstance(command, SetSlot)})
    return _Difference(cause, want, culprit)


def _cause(missing: list[Command], extra: list[Command], given: set[str]) -> tuple[Cause, Command | None]:
    """What kind of difference it is, and the command in question; `given` are the slots that the model set."""
    both = [*missing, *extra]
    if flow := next((command for command in both if isinstance(command, StartFlow)), None):
        return "wrong flow", flow
    others = [command for command in both if not isinstance(command, SetSlot)]
    if others:
        return "wrong command", next((command for command in missing if command in others), (missing or others)[0])
    slots = [command for command in missing if isinstance(command, SetSlot)]
    if missed := next((command for command in slots if command.name not in given), None):
        return "missed slot", missed
    return ("wrong value", slots[0]) if slots else ("invented slot", extra[0])


def _without(some: Iterable[Command], others: Iterable[Command]) -> list[Command]:
    lines = set(as_lines(others))
    return [command for command in some if as_line(command) not in lines]


def _read(prediction: Prediction, dialect: Dialect) -> Parsed:
    """The answer as it was written, unknown flows included; of a source that writes nothing, its commands."""
    text = prediction.completion
    return Parsed(prediction.commands) if text is None else parse(text, dialect, drop_unknown_values=False)


def _predicted(prediction: Prediction) -> str:
    text = prediction.completion
    return "\n".join(as_lines(prediction.commands)) if text is None else text


def _flow(commands: Iterable[Command], culprit: Command | None, tracker: Tracker) -> str:
    """The flow that was to be started, that in question before others; else the one in progress."""
    started = [command.flow for command in commands if isinstance(command, StartFlow)]
    if isinstance(culprit, StartFlow) and culprit.flow in started:
        return culprit.flow
    if started:
        return started[0]
    frame = top_user_frame(tracker.stack)
    return frame.flow if frame else ""


def _reason(result: TestResult) -> str:
    if result.failures:
        return f"line {result.failures[0].line}: {result.failures[0].message}"
    return result.error or result.undecided or ""
