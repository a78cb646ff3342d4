"""A folder that `rasa llm finetune prepare-data` wrote, read into the same values as a preparation of our own.

What counts are its rows (4_train_test_split/ft_splits) and its tests on both sides (4_train_test_split/e2e_tests); the annotated
conversations tell which test and message each row comes from. Every name that versions gave to these files is known.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from core.assistant.settings import Dialect
from core.dataset.conversation import AnnotatedConversation
from core.dataset.inventory import inventory
from core.dataset.leakage import without_leaks
from core.dataset.points import DataPoint
from core.dataset.prepare import Divided
from core.dataset.prepared_files import KnownTests, ReadRow, only_file, read_conversations, read_rows
from core.dataset.split import Split
from core.dialogue.commands import Command
from core.e2e.cases import TestSuite
from core.errors import Problem, ProblemsError, UsageError

_SPLIT = "4_train_test_split"
_TRAIN_TESTS = ("train.yaml", "train.yml")
_VALIDATION_TESTS = ("validation.yaml", "validation.yml", "val.yaml", "val.yml")
_TRAIN_ROWS = ("train.jsonl",)
_VALIDATION_ROWS = ("val.jsonl", "test.jsonl", "validation.jsonl")
_CONVERSATIONS = ("2_rephrasings", "1_command_annotations")
"""The first that holds any counts: it has all that the other has."""
_UNKNOWN = "a test that is not known"


@dataclass(frozen=True)
class BroughtIn:
    """What such a folder holds."""

    conversations: tuple[AnnotatedConversation, ...]
    divided: Divided
    warnings: tuple[str, ...]
    """Sentences for the owner."""


def read_prepared(
    folder: Path, suite: TestSuite, dialect: Dialect, names: Mapping[str, str] | None = None
) -> BroughtIn:
    """Read and check a prepared folder. `names`: test name → id, for names that the tests were given for it.

    Rows of validation that train shows too are left out, as in a preparation of our own. Raises UsageError when it is no such folder,
    ProblemsError with each row that is none, each test that the suite does not have and each test on both sides.
    """
    tests, rows = folder / _SPLIT / "e2e_tests", folder / _SPLIT / "ft_splits"
    problems: list[Problem] = []
    known = KnownTests(suite, names)
    train_ids = known.ids_in(_needed(tests, _TRAIN_TESTS), problems)
    validation_tests = only_file(tests, _VALIDATION_TESTS)
    validation_ids = known.ids_in(validation_tests, problems) if validation_tests else {}
    for id in validation_ids.keys() & train_ids.keys():
        problems.append(Problem(f"{_SPLIT}/e2e_tests", 0, f"test {id} is on both sides; leave it on one"))
    train = read_rows(_needed(rows, _TRAIN_ROWS), dialect, problems)
    validation_rows = only_file(rows, _VALIDATION_ROWS)
    validation = read_rows(validation_rows, dialect, problems) if validation_rows else []
    conversations = _conversations(folder, known, dialect, problems)
    if problems:
        raise ProblemsError(problems)
    in_train = _points(train, conversations, train_ids)
    kept, left_out = without_leaks(in_train, _points(validation, conversations, validation_ids))
    share = len(train) / (len(train) + len(validation)) if train else 1.0
    unseen = inventory(in_train).keys() - inventory(kept).keys()
    chosen = Split(tuple(train_ids), tuple(validation_ids), share, tuple(sorted(unseen)))
    divided = Divided(chosen, tuple(in_train), tuple(kept), tuple(left_out))
    return BroughtIn(tuple(conversations), divided, tuple(_warnings([*train, *validation], divided)))


def _needed(folder: Path, names: Sequence[str]) -> Path:
    found = only_file(folder, names)
    if found is None:
        raise UsageError(
            f"there is no {folder / names[0]}; give a folder that `rasa llm finetune prepare-data` wrote (output)"
        )
    return found


def _conversations(
    folder: Path, known: KnownTests, dialect: Dialect, problems: list[Problem]
) -> list[AnnotatedConversation]:
    for name in _CONVERSATIONS:
        before = len(problems)
        found = read_conversations(folder / name, known, dialect, problems)
        if found or len(problems) > before:
            return found
    raise UsageError(
        f"{folder} has no conversations in {' or '.join(_CONVERSATIONS)}; give the whole folder, not parts of it"
    )


# Where rows come from


@dataclass(frozen=True)
class _Wording:
    """One way to say a message of a test."""

    test: str
    turn: int
    variant: int
    original: str
    text: str


def _points(
    rows: Sequence[ReadRow], conversations: Sequence[AnnotatedConversation], ids: Collection[str]
) -> list[DataPoint]:
    """Rows of one side with the test and message each comes from."""
    wordings: dict[tuple[Command, ...], list[_Wording]] = defaultdict(list)
    for conversation in conversations:
        if conversation.case.id in ids:
            for number, turn in enumerate(conversation.turns, 1):
                texts = (turn.user, *turn.passing) if turn.annotated else ()
                wordings[turn.commands] += [
                    _Wording(conversation.case.id, number, variant, turn.user, text)
                    for variant, text in enumerate(texts)
                ]
    return [_point(row, wordings[row.commands]) for row in rows]


def _point(row: ReadRow, wordings: Sequence[_Wording]) -> DataPoint:
    """The row as one of ours: of the wordings of its commands the longest that its prompt holds, and of these the last."""
    there = [wording for wording in wordings if wording.text in row.prompt]
    nothing = _Wording(_UNKNOWN, 1, 0, "", "")
    own = max(there, key=lambda wording: (len(wording.text), row.prompt.rfind(wording.text)), default=nothing)
    return DataPoint(row.prompt, row.completion, own.test, own.turn, own.variant, own.original, own.text, row.commands)


def _warnings(rows: Sequence[ReadRow], divided: Divided) -> Iterator[str]:
    if divided.left_out:
        yield f"{len(divided.left_out)} validation rows are in train too and were left out of validation"
    unreadable = [line for row in rows for line in row.unreadable]
    if unreadable:
        yield f"{len(unreadable)} lines in rows are no commands known here and are not counted, such as {unreadable[0]!r}"
    points = (*divided.train, *divided.validation, *divided.left_out)
    lost = sum(point.test == _UNKNOWN for point in points)
    if lost:
        yield f"{lost} rows fit no annotated conversation of their side; which tests they come from is not known"
