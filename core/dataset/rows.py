"""Rows and rejected wordings of a finished preparation, read back for people to look at."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any, Literal, get_args

import yaml

from core.assistant.settings import Dialect
from core.dataset.inventory import names
from core.dataset.output import ALL_ROWS, PARAMETERS, REPHRASINGS, TRAIN_ROWS, VALIDATION_ROWS
from core.dialogue.command_text import parse
from core.errors import UsageError

Side = Literal["train", "validation", "left out", ""]


@dataclass(frozen=True)
class Row:
    """One row, or a wording that became none."""

    number: str
    """ "12" for a row; "r3" for a rejected wording."""
    test: str
    turn: int
    wording: str
    original: str
    commands: tuple[str, ...]
    prompt: str = ""
    """Empty for a rejected wording."""
    reason: str | None = None
    """Why the wording was rejected; None for a row."""
    conversation: tuple[str, ...] = ()
    """What was said before, as the test has it: "USER: …", "AI: …"."""
    side: Side = ""
    """Where the row went; "left out" of validation since train shows it too; "" for a rejected wording."""
    variant: int = 0
    """0 for a row of the test's own conversation, k for the k-th rephrased one."""
    holds: tuple[str, ...] = ()
    """What it teaches, as the split counts it: "flow book_bed", "command set slot", "slot nights"."""

    @property
    def own(self) -> bool:
        """True when the wording is the test's own message."""
        return self.reason is None and self.wording == self.original


def read_rows(folder: Path, prompts: bool = True) -> list[Row]:
    """All rows in the order of the file, then the rejected wordings. Raises OSError when the run's files are gone, UsageError when damaged.

    Without `prompts` they are left empty, which saves the most of the memory; `read_prompt` fetches a single one.
    """
    try:
        return _read_rows(folder, prompts)
    except (ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError) as error:
        raise UsageError(
            f"the rows in {folder} are damaged ({error}); `calmtune run --session NAME --force dataset` makes them anew"
        ) from error


def _read_rows(folder: Path, prompts: bool) -> list[Row]:
    dialect = _dialect(folder)
    conversations = _conversations(folder)
    steps = _by_message(conversations)
    trained, validated = (sum(1 for _ in _lines(folder / name)) for name in (TRAIN_ROWS, VALIDATION_ROWS))
    rows = []
    for number, line in enumerate(_lines(folder / ALL_ROWS), 1):
        row = json.loads(line)
        test, turn, original = row["original_test_name"], row["turn"], row["original_user_utterance"]
        rows.append(
            Row(
                str(number),
                test,
                turn,
                row["rephrased_user_utterance"] or original,
                original,
                tuple(row["completion"].split("\n")),
                row["prompt"] if prompts else "",
                conversation=_said(steps.get((test, turn, original), ()), turn),
                side="train" if number <= trained else "validation" if number <= trained + validated else "left out",
                variant=row.get("variant") or 0,
                holds=_holds(row["completion"], dialect),
            )
        )
    return [*rows, *_rejected(conversations, dialect)]


def read_prompt(folder: Path, row: Row) -> str:
    """The prompt of one row; "" for a rejected wording. Raises OSError when the run's files are gone."""
    if row.reason is not None:
        return ""
    line = next(islice(_lines(folder / ALL_ROWS), int(row.number) - 1, None), None)
    return "" if line is None else str(json.loads(line)["prompt"])


def _rejected(conversations: Sequence[dict[str, Any]], dialect: Dialect) -> list[Row]:
    rows: list[Row] = []
    for conversation in conversations:
        users = [step for step in conversation["steps"] if "user" in step]
        for turn, step in enumerate(users, 1):
            for wording, reason in step.get("reasons", {}).items():
                rows.append(
                    Row(
                        f"r{len(rows) + 1}",
                        conversation["original_test_case"],
                        turn,
                        wording,
                        step["user"],
                        tuple(step["llm_commands"]),
                        reason=reason,
                        conversation=_said(conversation["steps"], turn),
                        holds=_holds("\n".join(step["llm_commands"]), dialect),
                    )
                )
    return rows


def _lines(path: Path) -> Iterator[str]:
    """Lines of a JSONL file, one at a time; only a line feed ends one."""
    with path.open(encoding="utf-8", newline="\n") as file:
        yield from file


def _dialect(folder: Path) -> Dialect:
    """The command language of the rows, as the run wrote it down."""
    parameters = yaml.safe_load((folder / PARAMETERS).read_text(encoding="utf-8"))
    return next((known for known in get_args(Dialect) if known == parameters.get("dialect")), "v2")


@lru_cache(maxsize=4096)
def _holds(completion: str, dialect: Dialect) -> tuple[str, ...]:
    return tuple(sorted(names(parse(completion, dialect, drop_unknown_values=False).commands)))


def _conversations(folder: Path) -> list[dict[str, Any]]:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    files = sorted(path for path in (folder / REPHRASINGS).rglob("*") if path.is_file())
    return [
        conversation
        for path in files
        for conversation in yaml.load(path.read_text(encoding="utf-8"), loader)["conversations"]
    ]


def _by_message(conversations: Sequence[dict[str, Any]]) -> dict[tuple[str, int, str], Sequence[Mapping[str, Any]]]:
    """(test, turn, message) → the steps of the first conversation of that test with this message in this turn."""
    found: dict[tuple[str, int, str], Sequence[Mapping[str, Any]]] = {}
    for conversation in conversations:
        users = [step["user"] for step in conversation["steps"] if "user" in step]
        for turn, message in enumerate(users, 1):
            found.setdefault((conversation["original_test_case"], turn, message), conversation["steps"])
    return found


def _said(steps: Sequence[Mapping[str, Any]], turn: int) -> tuple[str, ...]:
    """What was said before a user message."""
    lines: list[str] = []
    users = 0
    for step in steps:
        users += "user" in step
        if users == turn:
            break
        lines.append(f"USER: {step['user']}" if "user" in step else f"AI: {step.get('bot') or step.get('utter')}")
    return tuple(lines)
