"""Recorded commands: one list a user turn, in the recipe's `conversations` form.

    conversations:
    - original_test_case: e2e_tests/parcel.yml::send a parcel
      steps:
      - user: please send it
        llm_commands:
        - start flow send_parcel
      - utter: utter_ask_street

Written after a run, read to replay it. Turns of buttons have no `llm_commands`. A message that no model was shown,
because it is empty or too long, is written as `internal error TYPE {…}`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.assistant.settings import Dialect
from core.assistant.source import Reader, YamlMapping, read_yaml
from core.assistant.yaml_text import to_yaml
from core.collector import without_collector
from core.dialogue.command_text import parse, render
from core.dialogue.commands import Command, InternalError
from core.dialogue.events import BotSaid, UserSaid
from core.dialogue.source import Prediction, UserMessage
from core.dialogue.tracker import Tracker
from core.e2e.cases import TestCase
from core.e2e.results import TestResult
from core.errors import Problem, ProblemsError, UsageError

_INTERNAL_ERROR = "internal error "


@dataclass(frozen=True)
class Recording:
    """Commands of each test's user turns; None where no model was asked."""

    turns: Mapping[str, tuple[tuple[Command, ...] | None, ...]]
    """Test id (`file::name`) → turns."""

    def source_for(self, case: TestCase) -> RecordedCommands:
        """A command source that replays one test. Raises UsageError when the recording lacks it."""
        if case.id not in self.turns:
            raise UsageError(f"the recording has no commands for test {case.id}")
        return RecordedCommands(case, self.turns[case.id])


class RecordedCommands:
    """Replays the turns of one test in their order."""

    def __init__(self, case: TestCase, turns: Sequence[tuple[Command, ...] | None]) -> None:
        self._case, self._turns = case, turns

    async def predict(self, tracker: Tracker, message: UserMessage) -> Prediction:
        """The recorded commands of the turn at hand; UsageError when there are none."""
        turn = sum(isinstance(event, UserSaid) for event in tracker.events)
        commands = self._turns[turn] if turn < len(self._turns) else None
        if commands is None:
            raise UsageError(
                f"the recording has no commands for turn {turn + 1} ({message.text!r}) of test {self._case.id}"
            )
        return Prediction(commands)


@without_collector()
def read_recording(path: Path) -> Recording:
    """Read a recording. Raises ProblemsError with file and line of each problem."""
    content = read_yaml(path, path.name)
    problems: list[Problem] = []
    reader = Reader(path.name, problems)
    turns: dict[str, tuple[tuple[Command, ...] | None, ...]] = {}
    if not isinstance(content, YamlMapping) or "conversations" not in content:
        raise ProblemsError([Problem(path.name, 1, "a recording has a list `conversations`")])
    for item, line in reader.items(content, "conversations"):
        if not isinstance(item, YamlMapping) or "original_test_case" not in item:
            reader.error(line, "a conversation needs `original_test_case: file::name`")
            continue
        steps = [
            (step, at) for step, at in reader.items(item, "steps") if isinstance(step, YamlMapping) and "user" in step
        ]
        test = reader.text(item, "original_test_case")
        if test in turns:
            reader.error(line, f"test {test} is recorded twice")
        turns[test] = tuple(_commands(step, reader) for step, _ in steps)
    if problems:
        raise ProblemsError(problems)
    return Recording(turns)


def _commands(step: YamlMapping, reader: Reader) -> tuple[Command, ...] | None:
    if "llm_commands" not in step:
        return None
    commands: list[Command] = []
    for text, line in reader.items(step, "llm_commands"):
        if (error := _internal_error(str(text))) is not None:
            commands.append(error)
            continue
        read = parse(str(text), "v2", drop_unknown_values=False)
        commands += read.commands
        if read.dropped or not read.commands:
            reader.error(line, f"{text!r} is no command")
    return tuple(commands)


def _internal_error(text: str) -> InternalError | None:
    kind, _, info = text.removeprefix(_INTERNAL_ERROR).partition(" ")
    if not text.startswith(_INTERNAL_ERROR):
        return None
    try:
        return InternalError(kind, tuple(json.loads(info or "{}").items()))
    except (ValueError, AttributeError):
        return InternalError(kind)


def write_recording(results: Iterable[TestResult], path: Path, dialect: Dialect) -> None:
    """Write what was predicted in each turn, with what the bot said."""
    conversations = [
        {"original_test_case": result.case.id, "steps": list(_steps(result, dialect))} for result in results
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(to_yaml({"conversations": conversations}), encoding="utf-8")


def _steps(result: TestResult, dialect: Dialect) -> Iterable[dict[str, Any]]:
    for record in result.turns:
        step: dict[str, Any] = {"user": record.turn.user}
        if record.prediction is not None:
            step["llm_commands"] = [_written(command, dialect) for command in record.prediction.commands]
        yield step
        for event in record.events:
            if isinstance(event, BotSaid):
                yield {"utter": event.utter} if event.utter else {"bot": event.text or ""}


def _written(command: Command, dialect: Dialect) -> str:
    if isinstance(command, InternalError):
        return f"{_INTERNAL_ERROR}{command.error_type} {json.dumps(dict(command.info))}"
    return render(command, dialect)
