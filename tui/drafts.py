"""Answers that were typed and are not taken over yet, and the command that would take them over."""

from __future__ import annotations

import contextlib
import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from core.assistant.source import parse_yaml
from core.atomic import write_atomically
from core.e2e.redaction import KEY
from core.errors import ProblemsError
from core.wizard.answers import SESSION, questions
from core.wizard.recipe import STEP_IDS

FILE = "drafts.json"
"""In a session's folder."""

Answers = Mapping[str, Mapping[str, Any]]


class Drafts:
    """What the forms of a walk hold, by step; neither leaving a step nor the app, nor a crash of it, loses what was typed there."""

    def __init__(self, file: Path | None, saved: Answers) -> None:
        """`file` keeps them for the next time, those whose saved answers are still the same then; None where nothing may be written."""
        self._file = file
        found = _read(file) if file is not None else {}
        self._kept = {step: one for step, one in found.items() if one["beside"] == saved.get(step, {})}
        self._values: dict[str, dict[str, Any]] = {step: one["values"] for step, one in self._kept.items()}

    def keep(self, step: str, values: Mapping[str, Any], saved: Answers) -> None:
        self._values[step] = dict(values)
        kept, beside = self._without(step), saved.get(step, {})
        if changes(step, beside, values):
            kept[step] = {"values": dict(values), "beside": beside}
        self._write(kept)

    def drop(self, step: str) -> None:
        self._values.pop(step, None)
        self._write(self._without(step))

    def _without(self, step: str) -> dict[str, Any]:
        return {other: one for other, one in self._kept.items() if other != step}

    def _write(self, kept: dict[str, Any]) -> None:
        if self._file is None or kept == self._kept:
            return
        self._kept = kept
        text = json.dumps(kept)
        with contextlib.suppress(OSError):  # a full disk is told of where answers are taken over
            if kept and not KEY.search(text):
                write_atomically(self._file, text, sync=False)
            else:
                self._file.unlink(missing_ok=True)

    def of(self, step: str, saved: Answers) -> dict[str, Any]:
        """What the form of a step shows."""
        return dict(self._values.get(step, saved.get(step, {})))

    def settings(self, saved: Answers) -> list[str]:
        """What differs from the answers taken over, as `--set` wants it: "training.epochs=2"."""
        return [text for step in STEP_IDS if step in self._values for text in changes(step, saved.get(step, {}), self._values[step])]


def _read(file: Path) -> dict[str, dict[str, Any]]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        return {step: {"values": dict(one["values"]), "beside": one["beside"]} for step, one in found.items() if step in STEP_IDS}
    except (OSError, ValueError, TypeError, KeyError, AttributeError):  # none, or damaged: then the saved answers are shown
        return {}


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
