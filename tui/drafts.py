"""Answers that were typed and are not taken over yet, and the command that would take them over."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import Any

from core.assistant.source import parse_yaml
from core.errors import ProblemsError
from core.wizard.answers import SESSION, questions
from core.wizard.recipe import STEP_IDS

Answers = Mapping[str, Mapping[str, Any]]


class Drafts:
    """What the forms of a walk hold, by step; leaving a step loses nothing that was typed there."""

    def __init__(self) -> None:
        self._values: dict[str, dict[str, Any]] = {}

    def keep(self, step: str, values: Mapping[str, Any]) -> None:
        self._values[step] = dict(values)

    def drop(self, step: str) -> None:
        self._values.pop(step, None)

    def of(self, step: str, saved: Answers) -> dict[str, Any]:
        """What the form of a step shows."""
        return self._values.get(step, dict(saved.get(step, {})))

    def settings(self, saved: Answers) -> list[str]:
        """What differs from the answers taken over, as `--set` wants it: "training.epochs=2"."""
        return [text for step in STEP_IDS if step in self._values for text in changes(step, saved.get(step, {}), self._values[step])]


def changes(section: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Answers that differ, each as `section.field=value`; `now` may leave out what is as the default."""
    found = []
    for question in questions(section):
        value = now.get(question.field, question.default)
        if value != before.get(question.field, question.default):
            name = question.field if section == SESSION else f"{section}.{question.field}"
            found.append(f"{name}={_yaml(value)}")
    return found


def command(session: str, until: str, settings: list[str]) -> str:
    """What does the same without the app, ready for a shell."""
    parts = ["calmtune", "run", "--session", session]
    for text in settings:
        parts += ["--set", text]
    return shlex.join([*parts, "--until", until])


def _yaml(value: Any) -> str:
    """A value on one line, such that the answers' reader takes it for what it is."""
    if not isinstance(value, str):
        return json.dumps(value, default=str)
    try:
        plain = value.isprintable() and parse_yaml(value, "--set") == value
    except ProblemsError:
        plain = False
    return value if plain else "".join(map(_escaped, json.dumps(value, ensure_ascii=False)))


def _escaped(character: str) -> str:
    return character if character.isprintable() else f"\\U{ord(character):08x}"
