"""Answers: one declaration for forms, prompts, files and the command line.

Each step declares its questions as a pydantic model. From those models come the questions that fronts ask, the answers file with its
template and JSON Schema (`answers_file.py`), `--set step.field=value` (`answers_set.py`), and the words for mistakes (`mistakes.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, create_model
from pydantic.fields import FieldInfo

from core.errors import UsageError
from core.wizard.mistakes import in_words
from core.wizard.recipe import STEP_IDS, step
from core.wizard.shared import SharedAnswers

SESSION = "session"
"""Where the answers of the session as a whole are kept; in a file they stand at the top level."""


@dataclass(frozen=True)
class Question:
    """One question, ready to be asked."""

    section: str
    """Step id, or SESSION."""
    field: str
    title: str
    help: str
    kind: Literal["text", "number", "integer", "flag", "choice", "path"]
    default: Any
    required: bool
    choices: tuple[str, ...] = ()
    unit: str = ""
    minimum: float | None = None
    maximum: float | None = None
    range: str = ""
    """In words: "more than 0, at most 100"."""
    cosmetic: bool = False
    """True when the answer has no influence on results."""
    advanced: bool = False
    """True for what most people leave alone."""


def questions(section: str) -> list[Question]:
    """The questions of a step or of the session, in order."""
    return [_question(section, name, info) for name, info in model_of(section).model_fields.items()]


def model_of(section: str) -> type[BaseModel]:
    return SharedAnswers if section == SESSION else step(section).answers


@cache
def file_model() -> type[BaseModel]:
    """The whole answers file: the session's fields and one section a step."""
    fields: dict[str, Any] = {name: (info.annotation, info) for name, info in SharedAnswers.model_fields.items()}
    for id in STEP_IDS:
        model = step(id).answers
        fields[id] = (model | None, Field(None, title=step(id).title, description=step(id).purpose))
    return create_model("Answers", __config__=ConfigDict(extra="forbid"), **fields)


def validate(section: str, given: Mapping[str, Any], where: str) -> BaseModel:
    """The model of a section with its defaults filled in. Raises UsageError naming each mistake."""
    try:
        return model_of(section).model_validate(dict(given))
    except ValidationError as error:
        known = list(model_of(section).model_fields)
        raise UsageError("\n".join(f"{where}: {section}.{in_words(details, known)}" for details in error.errors())) from error


def one_answer(section: str, field: str, value: Any) -> Any:
    """An answer as it is kept. Raises UsageError."""
    adapter = _adapter(section, field)
    try:
        return adapter.dump_python(adapter.validate_python(value), mode="json")
    except ValidationError as error:
        raise UsageError("; ".join(in_words(details, ()) for details in error.errors())) from error


@cache
def _adapter(section: str, field: str) -> TypeAdapter[Any]:
    info = model_of(section).model_fields[field]
    return TypeAdapter(Annotated[info.annotation, *info.metadata] if info.metadata else info.annotation)


def written(answers: Mapping[str, Mapping[str, Any]]) -> str:
    """Answers as the file that would repeat them."""
    content = {**answers.get(SESSION, {}), **{id: dict(answers[id]) for id in STEP_IDS if answers.get(id)}}
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=120)


def _question(section: str, name: str, info: FieldInfo) -> Question:
    extra = info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}
    kinds = [kind for kind in _alternatives(info.annotation) if kind is not NoneType]
    choices = tuple(str(choice) for kind in kinds if get_origin(kind) is Literal for choice in get_args(kind))
    limits = {type(limit).__name__: limit for limit in info.metadata}
    return Question(
        section=section,
        field=name,
        title=info.title or name.replace("_", " "),
        help=info.description or "",
        kind="choice" if choices else _kind(kinds[0] if kinds else str),
        default=None if info.is_required() else info.get_default(call_default_factory=True),
        required=info.is_required(),
        choices=choices,
        unit=str(extra.get("unit", "")),
        minimum=getattr(limits.get("Ge"), "ge", getattr(limits.get("Gt"), "gt", None)),
        maximum=getattr(limits.get("Le"), "le", getattr(limits.get("Lt"), "lt", None)),
        range=_range(info),
        cosmetic=bool(extra.get("cosmetic")),
        advanced=bool(extra.get("advanced")),
    )


def _alternatives(annotation: Any) -> Sequence[Any]:
    return get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)


def _kind(annotation: Any) -> Literal["text", "number", "integer", "flag", "path"]:
    kinds: dict[Any, Literal["text", "number", "integer", "flag", "path"]] = {
        bool: "flag",
        int: "integer",
        float: "number",
        Path: "path",
    }
    return kinds.get(annotation, "text")


def _range(info: FieldInfo) -> str:
    words = (("ge", "at least"), ("gt", "more than"), ("lt", "less than"), ("le", "at most"))
    found = [f"{said} {getattr(limit, name):g}" for name, said in words for limit in info.metadata if hasattr(limit, name)]
    return ", ".join(found)
