"""What decides a step's outcome, as it is written down with each run; whether two such are the same, and in which words they differ.

A run's inputs are JSON: step, version, answers of the step and of the session, digests of the files it read, digests of the outputs above.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from core.wizard.shared import SharedAnswers
from core.wizard.step import Step

Inputs = Mapping[str, Any]
_GROUPS = ("session", "answers")


def same(it: Step, before: Inputs, now: Inputs) -> bool:
    """Whether a step would come to what it came to before.

    A question that was not asked then counts as answered by its default, so that a newer calmtune repeats nothing. Files count by their
    content, wherever they lie.
    """
    return all(before.get(part) == now.get(part) for part in ("step", "version", "upstream")) and _content(it, before) == _content(it, now)


def difference(it: Step, before: Inputs, now: Inputs) -> str:
    """What changed between two inputs of a step, in words: "learning rate 0.0001 → 0.0002"."""
    parts = []
    for group in _GROUPS:
        old, new = _answers(it, group, before), _answers(it, group, now)
        for name in sorted({*old, *new}):
            if old.get(name) != new.get(name):
                parts.append(f"{name.replace('_', ' ')} {_shown(old.get(name))} → {_shown(new.get(name))}")
    for path in sorted({*before.get("files", {}), *now.get("files", {})}):
        if before.get("files", {}).get(path) != now.get("files", {}).get(path):
            parts.append(f"{Path(path).name} changed")
    for id in sorted({*before.get("upstream", {}), *now.get("upstream", {})}):
        if before.get("upstream", {}).get(id) != now.get("upstream", {}).get(id):
            parts.append(f"the outcome of {id} changed")
    if before.get("version") != now.get("version"):
        parts.append("calmtune does this step differently now")
    return ", ".join(parts) or "its inputs changed"


def _content(it: Step, inputs: Inputs) -> list[Any]:
    """Answers with the digest of a file in the place of its path, and the digests of all files."""
    files: Mapping[str, str] = inputs.get("files", {})

    def read(value: Any) -> Any:
        return files.get(value, value) if isinstance(value, str) else value

    answers = [{name: read(value) for name, value in _answers(it, group, inputs).items()} for group in _GROUPS]
    return [*answers, sorted(files.values())]


def _answers(it: Step, group: str, inputs: Inputs) -> dict[str, Any]:
    """Those given, and the defaults of those that were not asked yet; without those that change no result."""
    model: type[BaseModel] = SharedAnswers if group == "session" else it.answers
    asked = it.shared if group == "session" else tuple(model.model_fields)
    defaults = model.model_construct().model_dump(mode="json", warnings=False, include=set(asked))
    answers = {**defaults, **inputs.get(group, {})}
    return {name: value for name, value in answers.items() if not _changes_nothing(model, name)}


def _changes_nothing(model: type[BaseModel], name: str) -> bool:
    extra = model.model_fields[name].json_schema_extra if name in model.model_fields else None
    return isinstance(extra, dict) and bool(extra.get("cosmetic"))


def _shown(value: Any) -> str:
    return "none" if value in (None, "") else str(value)
