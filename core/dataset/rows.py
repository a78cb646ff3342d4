"""Rows and rejected wordings of a finished preparation, read back for people to look at."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from core.dataset.output import ALL_ROWS, REPHRASINGS


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


def read_rows(folder: Path) -> list[Row]:
    """All rows in the order of the file, then the rejected wordings. Raises OSError when the run's files are gone."""
    conversations = _conversations(folder)
    rows = []
    for number, line in enumerate((folder / ALL_ROWS).read_text(encoding="utf-8").split("\n")[:-1], 1):
        row = json.loads(line)
        test, turn = row["original_test_name"], row["turn"]
        original = row["original_user_utterance"]
        steps = _steps_of(conversations, test, turn, original)
        rows.append(
            Row(
                str(number),
                test,
                turn,
                row["rephrased_user_utterance"] or original,
                original,
                tuple(row["completion"].split("\n")),
                row["prompt"],
                conversation=_said(steps, turn),
            )
        )
    return [*rows, *_rejected(conversations)]


def _rejected(conversations: Sequence[dict[str, Any]]) -> list[Row]:
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
                    )
                )
    return rows


def _conversations(folder: Path) -> list[dict[str, Any]]:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    files = sorted(path for path in (folder / REPHRASINGS).rglob("*") if path.is_file())
    return [
        conversation
        for path in files
        for conversation in yaml.load(path.read_text(encoding="utf-8"), loader)["conversations"]
    ]


def _steps_of(conversations: Sequence[dict[str, Any]], test: str, turn: int, original: str) -> list[dict[str, Any]]:
    """The steps of the conversation a row comes from: of its test, with this message in this turn."""
    for conversation in conversations:
        users = [step["user"] for step in conversation["steps"] if "user" in step]
        if conversation["original_test_case"] == test and users[turn - 1 : turn] == [original]:
            steps: list[dict[str, Any]] = conversation["steps"]
            return steps
    return []


def _said(steps: Sequence[dict[str, Any]], turn: int) -> tuple[str, ...]:
    """What was said before a user message."""
    lines: list[str] = []
    users = 0
    for step in steps:
        users += "user" in step
        if users == turn:
            break
        lines.append(f"USER: {step['user']}" if "user" in step else f"AI: {step.get('bot') or step.get('utter')}")
    return tuple(lines)
