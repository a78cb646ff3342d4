"""Answers given one by one: `step.field=value`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from core.assistant.source import parse_yaml
from core.errors import ProblemsError, UsageError
from core.near import near
from core.wizard.answers import SESSION, model_of, one_answer, questions
from core.wizard.recipe import STEP_IDS


def set_answers(settings: Sequence[str], answers: dict[str, dict[str, Any]]) -> None:
    """Apply each `step.field=value`, or `field=value` for the session's own; changes `answers`. Raises UsageError with all mistakes."""
    mistakes = []
    for text in settings:
        try:
            section, field, value = _read(text)
        except UsageError as error:
            mistakes.append(f"--set {text}: {error}")
            continue
        answers.setdefault(section, {})[field] = value
    if mistakes:
        raise UsageError("\n".join(mistakes))


def names() -> list[str]:
    """All that can be set: `seed`, `training.epochs`, …"""
    return [
        question.field if section == SESSION else f"{section}.{question.field}"
        for section in (SESSION, *STEP_IDS)
        for question in questions(section)
    ]


def _read(text: str) -> tuple[str, str, Any]:
    target, equals, written = text.partition("=")
    target = target.strip()
    if not equals:
        raise UsageError("a value is missing; write step.field=value")
    section, dot, field = target.partition(".") if "." in target else (SESSION, "", target)
    if section not in (SESSION, *STEP_IDS):
        raise UsageError(f"there is no step {section}" + (near(section, STEP_IDS) or f"; the steps are {', '.join(STEP_IDS)}"))
    if field not in model_of(section).model_fields:
        raise UsageError(_unknown(section if dot else "", field))
    (question,) = [one for one in questions(section) if one.field == field]
    try:
        value = parse_yaml(written, "value") if written else None
    except ProblemsError as error:
        raise UsageError("; ".join(problem.message for problem in error.problems)) from error
    if question.kind in ("text", "path") and isinstance(value, int | float):
        value = written  # a version or a name of digits
    if section == SESSION and field == "assistant" and value:
        value = str(Path(value).expanduser().resolve())
    return section, field, one_answer(section, field, value)


def _unknown(section: str, field: str) -> str:
    """Why a field is none, with the nearest."""
    if not section and field in STEP_IDS:
        return f"{field} is a step; write {field}.field=value, with one of {', '.join(model_of(field).model_fields)}"
    if elsewhere := [name for name in names() if name.rpartition(".")[2] == field]:
        return f"{section or 'the session'} has no question {field}; did you mean {' or '.join(elsewhere)}?"
    return f"{section or 'the session'} has no question {field}{near(field, model_of(section or SESSION).model_fields)}"
