"""Answers: one declaration for forms, prompts, files and the command line.

Each step declares its questions as a pydantic model. From those models come the questions that fronts ask, the JSON Schema of the answers
file, its commented template, `--set step.field=value`, and errors that name file and line.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model
from pydantic.fields import FieldInfo

from core.assistant.source import YamlMapping, near, parse_yaml, read_yaml
from core.errors import Problem, ProblemsError, UsageError
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
        fields[id] = (model, Field(default_factory=model, title=step(id).title, description=step(id).purpose))
    return create_model("Answers", __config__=ConfigDict(extra="forbid"), **fields)


def schema() -> dict[str, Any]:
    """JSON Schema of the answers file."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **file_model().model_json_schema()}


def template() -> str:
    """A commented answers file with every default."""
    lines = ["# Answers for `calmtune run --answers`. Uncomment what you change.", ""]
    for section in (SESSION, *STEP_IDS):
        if section != SESSION:
            lines += ["", f"# {step(section).purpose}", f"{section}:"]
        indent = "" if section == SESSION else "  "
        for question in questions(section):
            lines.append(f"{indent}# {question.help}{_limits(question)}")
            value = yaml.safe_dump(question.default, default_flow_style=True).splitlines()[0]
            comment = "" if question.required else "# "
            lines.append(f"{indent}{comment}{question.field}: {'path/to/it' if question.required else value}")
        if section != SESSION:
            lines.append("  {}")
    return "\n".join(lines) + "\n"


def read_answers(path: Path) -> dict[str, dict[str, Any]]:
    """Answers of a file by section, checked. Raises ProblemsError with all mistakes, each with its line."""
    content = read_yaml(path, path.name)
    if not isinstance(content, YamlMapping):
        raise ProblemsError([Problem(path.name, 1, "an answers file is a mapping such as `assistant: path/to/it`")])
    return check(content, path.name, path.parent)


def check(content: YamlMapping, file: str, folder: Path) -> dict[str, dict[str, Any]]:
    """Check parsed answers; relative paths are taken from `folder`."""
    try:
        model = file_model().model_validate(content)
    except ValidationError as error:
        raise ProblemsError([_problem(details, content, file) for details in error.errors()]) from error
    given: dict[str, dict[str, Any]] = {SESSION: {}}
    for name in model.model_fields_set:
        value = getattr(model, name)
        if name in STEP_IDS:
            given[name] = value.model_dump(mode="json", exclude_unset=True)
        else:
            given[SESSION][name] = str((folder / value).resolve()) if isinstance(value, Path) else value
    return given


def set_one(text: str, answers: dict[str, dict[str, Any]]) -> None:
    """Apply `field=value` or `step.field=value` to answers. Raises UsageError."""
    target, equals, written = text.partition("=")
    section, dot, field = target.strip().rpartition(".")
    section = section if dot else SESSION
    if not equals or section not in (SESSION, *STEP_IDS):
        known = ", ".join(STEP_IDS)
        raise UsageError(f"--set {text}: write --set step.field=value, where step is one of {known}")
    fields = model_of(section).model_fields
    if field not in fields:
        raise UsageError(f"--set {text}: {section} has no question {field}{near(field, fields)}")
    value = parse_yaml(written, "--set") if written else None
    validated = validate(section, {**answers.get(section, {}), field: value}, f"--set {text}")
    answers.setdefault(section, {})[field] = validated.model_dump(mode="json")[field]


def validate(section: str, given: Mapping[str, Any], where: str) -> BaseModel:
    """The model of a section with its defaults filled in. Raises UsageError naming each mistake."""
    try:
        return model_of(section).model_validate(dict(given))
    except ValidationError as error:
        raise UsageError("\n".join(f"{where}: {section}.{_message(details)}" for details in error.errors())) from error


def written(answers: Mapping[str, Mapping[str, Any]]) -> str:
    """Answers as the file that would repeat them."""
    content = {**answers.get(SESSION, {}), **{id: dict(answers[id]) for id in STEP_IDS if answers.get(id)}}
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=120)


def _problem(details: Any, content: YamlMapping, file: str) -> Problem:
    line: int = content.lines.first
    place: Any = content
    for part in details["loc"]:
        if isinstance(place, YamlMapping) and isinstance(part, str):
            line = place.line_of(part)
            place = place.get(part)
    return Problem(file, line, _message(details))


def _message(details: Any) -> str:
    """ "training.epochs: 0 is not at least 1" """
    where = ".".join(str(part) for part in details["loc"] if not str(part).startswith("function-"))
    kind, context, value = details["type"], details.get("ctx", {}), details.get("input")
    if kind == "extra_forbidden":
        section = details["loc"][0] if len(details["loc"]) > 1 else None
        known = list(model_of(section).model_fields if section else file_model().model_fields)
        return f"{where} is not a question{near(str(details['loc'][-1]), known)}"
    if kind == "missing":
        return f"{where} is missing and must be answered"
    limits = {
        "greater_than_equal": ("at least", "ge"),
        "greater_than": ("more than", "gt"),
        "less_than_equal": ("at most", "le"),
        "less_than": ("less than", "lt"),
    }
    if kind in limits:
        words, name = limits[kind]
        return f"{where}: {value} is not {words} {context[name]:g}"
    if kind == "literal_error":
        return f"{where}: {value!r} is not one of {context['expected']}"
    return f"{where}: {value!r}: {details['msg'][0].lower()}{details['msg'][1:]}"


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


def _limits(question: Question) -> str:
    parts = [question.unit] if question.unit else []
    if question.minimum is not None or question.maximum is not None:
        low = "" if question.minimum is None else f"{question.minimum:g}"
        high = "" if question.maximum is None else f"{question.maximum:g}"
        parts.append(f"{low} to {high}" if low and high else f"at least {low}" if low else f"at most {high}")
    if question.choices:
        parts.append(" | ".join(question.choices))
    return f" ({'; '.join(parts)})" if parts else ""
