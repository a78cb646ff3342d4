"""The files of a prepared folder one by one: rows, names of tests, annotated conversations; each complaint has file and line."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.assistant.settings import Dialect
from core.assistant.source import Reader, YamlMapping, read_yaml
from core.dataset.conversation import AnnotatedConversation, AnnotatedTurn, Rejected
from core.dialogue.command_text import parse
from core.dialogue.commands import Command
from core.dialogue.events import BotSaid, Event, UserSaid
from core.dialogue.source import Prediction
from core.e2e.cases import TestCase, TestSuite, Turn
from core.e2e.rasa_files import names_in
from core.e2e.results import TestResult, TurnRecord
from core.errors import Problem, ProblemsError, UsageError

FAILED_THERE = "was rejected when the folder was made"


def only_file(folder: Path, names: Sequence[str]) -> Path | None:
    """The file of one of several names; None when there is none. Raises UsageError when there are two: which one counts?"""
    found = [folder / name for name in names if (folder / name).is_file()]
    if len(found) > 1:
        raise UsageError(f"{folder} has both {found[0].name} and {found[1].name}; leave one of them there")
    return found[0] if found else None


# Rows


@dataclass(frozen=True)
class ReadRow:
    """A row of a trainer's file."""

    prompt: str
    completion: str
    commands: tuple[Command, ...]
    unreadable: tuple[str, ...]
    """Lines of the completion that are no known commands."""


def read_rows(path: Path, dialect: Dialect, problems: list[Problem]) -> list[ReadRow]:
    """The rows of a JSONL file in either form: prompt and completion, or messages of user and assistant."""
    rows = []
    reader = Reader(path.name, problems)
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except UnicodeDecodeError:
        reader.error(0, "the file is not UTF-8; save it as UTF-8")
        return []
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                prompt, completion = _both_parts(json.loads(line))
            except (ValueError, RecursionError) as error:
                what = "is not JSON" if isinstance(error, (json.JSONDecodeError, RecursionError)) else str(error)
                reader.error(
                    number, f"the row {what}; a row has prompt and completion, or messages of user and assistant"
                )
                continue
            read = parse(completion, dialect, drop_unknown_values=False)
            rows.append(ReadRow(prompt, completion, read.commands, read.dropped))
    return rows


def _both_parts(row: Any) -> tuple[str, str]:
    """Raises ValueError with a clause when it is no row."""
    if not isinstance(row, dict):
        raise ValueError("is no mapping")
    parts = (row.get("prompt"), row.get("completion"))
    if "messages" in row:
        messages = row["messages"]
        if not isinstance(messages, list) or not all(isinstance(message, dict) for message in messages):
            raise ValueError("has messages that are no list of mappings")
        if [message.get("role") for message in messages] != ["user", "assistant"]:
            raise ValueError("has other messages than one of the user and one of the assistant")
        parts = (messages[0].get("content"), messages[1].get("content"))
    prompt, completion = parts
    if not isinstance(prompt, str) or not prompt.strip():
        raise ValueError("has no prompt")
    if not isinstance(completion, str) or not completion.strip():
        raise ValueError("has no completion")
    if any("\ud800" <= character <= "\udfff" for character in prompt + completion):
        raise ValueError("holds half a character (a lone \\ud800 to \\udfff)")
    return prompt, completion


# Tests


class KnownTests:
    """The tests of a suite, found by what a folder calls them: `file::name`, or a name."""

    def __init__(self, suite: TestSuite, names: Mapping[str, str] | None = None) -> None:
        """`names`: name → id, for names that the tests were given elsewhere."""
        self.cases = {case.id: case for case in suite.cases}
        self._ids: dict[str, set[str]] = defaultdict(set)
        for case in suite.cases:
            self._ids[case.name].add(case.id)
            self._ids[f"{case.name} ({case.file})"].add(case.id)
        self._ids.update({name: {id} for name, id in (names or {}).items()})

    def find(self, written: str, line: int, reader: Reader) -> TestCase | None:
        """The test; None, with a complaint, when the suite has none or several of that name."""
        if written in self.cases:
            return self.cases[written]
        file, _, name = written.rpartition("::")
        ids = self._ids.get(written) or self._ids.get(name) or set()
        if len(ids) > 1:
            ids = {id for id in ids if Path(self.cases[id].file).name == Path(file).name}
        if len(ids) == 1:
            return self.cases[next(iter(ids))]
        what = "is in several of the assistant's test files" if ids else "is not among the assistant's tests"
        reader.error(line, f"test {written!r} {what}; was the folder made of this assistant?")
        return None

    def ids_in(self, path: Path, problems: list[Problem]) -> dict[str, int]:
        """Ids of the tests in a file, each with its line."""
        reader = Reader(path.name, problems)
        try:
            names = names_in(path)
        except ProblemsError as error:
            problems += error.problems
            return {}
        found = ((self.find(name, line, reader), line) for name, line in names.items())
        return {case.id: line for case, line in found if case is not None}


# Conversations


def read_conversations(
    folder: Path, tests: KnownTests, dialect: Dialect, problems: list[Problem]
) -> list[AnnotatedConversation]:
    """All annotated conversations below a folder, with their rephrasings where it has them."""
    found: list[AnnotatedConversation] = []
    seen: set[str] = set()
    for path in sorted(path for path in folder.rglob("*.y*ml") if path.is_file()):
        reader = Reader(path.relative_to(folder.parent).as_posix(), problems)
        try:
            content = read_yaml(path, reader.file)
        except ProblemsError as error:
            problems += error.problems
            continue
        if not isinstance(content, YamlMapping):
            continue
        for item, line in reader.items(content, "conversations"):
            if not isinstance(item, YamlMapping) or not (written := reader.text(item, "original_test_case")):
                reader.error(line, "a conversation needs `original_test_case: file::name`")
            elif (case := tests.find(written, line, reader)) is not None:
                conversation = _conversation(case, item, dialect, reader)
                if conversation.derived or case.id not in seen:  # a test has one, whatever files repeat it
                    found.append(conversation)
                seen.add(case.id)
    return found


def _conversation(case: TestCase, item: YamlMapping, dialect: Dialect, reader: Reader) -> AnnotatedConversation:
    turns: list[AnnotatedTurn] = []
    steps = [step for step, _ in reader.items(item, "steps") if isinstance(step, YamlMapping)]
    starts = [at for at, step in enumerate(steps) if "user" in step]
    for number, (start, end) in enumerate(zip(starts, [*starts[1:], len(steps)], strict=True)):
        text = reader.text(steps[start], "user")
        own = number < len(case.turns) and case.turns[number].user == text
        turn = case.turns[number] if own else Turn(text, case.line)
        turns.append(_turn(turn, steps[start], list(_said(steps[start + 1 : end], reader)), dialect, reader))
    result = TestResult(case, True, tuple(turn.record for turn in turns))
    return AnnotatedConversation(result, tuple(turns), reader.text(item, "derived"))


def _said(steps: Sequence[YamlMapping], reader: Reader) -> Iterator[BotSaid]:
    for step in steps:
        if "utter" in step:
            yield BotSaid(None, reader.text(step, "utter"))
        elif "bot" in step:
            yield BotSaid(reader.text(step, "bot"))


def _turn(turn: Turn, step: YamlMapping, said: list[BotSaid], dialect: Dialect, reader: Reader) -> AnnotatedTurn:
    lines = _texts(step, "llm_commands", reader)
    commands = parse("\n".join(lines), dialect, drop_unknown_values=False).commands
    events: tuple[Event, ...] = (UserSaid(turn.user, commands), *said)
    record = TurnRecord(turn, Prediction(commands) if lines else None, commands, events)
    if not lines:
        return AnnotatedTurn(record, skipped="no language model was asked about it")
    return AnnotatedTurn(
        record,
        commands,
        lines,
        passing=_texts(step, "passing_rephrasings", reader),
        rejected=tuple(Rejected(text, FAILED_THERE) for text in _texts(step, "failed_rephrasings", reader)),
    )


def _texts(step: YamlMapping, key: str, reader: Reader) -> tuple[str, ...]:
    return tuple(str(text) for text, _ in reader.items(step, key) if text is not None)
