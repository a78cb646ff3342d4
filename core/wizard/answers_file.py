"""The answers file: its template, its JSON Schema, and reading it with every mistake at once."""

from __future__ import annotations

import json
import math
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from core.assistant.source import YamlMapping, inspect_yaml, parse_yaml
from core.errors import Problem, ProblemsError
from core.near import near
from core.wizard.answers import SESSION, Question, file_model, model_of, questions
from core.wizard.mistakes import in_words
from core.wizard.recipe import STEP_IDS, step

SCHEMA_FILE = "answers.schema.json"
_WIDE = 110
"""Characters of a line of comment."""


def schema() -> dict[str, Any]:
    """JSON Schema of the answers file."""
    found = file_model().model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **found, "title": "Answers of calmtune"}


def template(schema_file: str | None = None) -> str:
    """An answers file with every question in comments; `schema_file` is what editors check it with."""
    lines = [f"# yaml-language-server: $schema={schema_file}"] if schema_file else []
    lines += ["# Answers for `calmtune run --answers`. Uncomment what you change; `calmtune answers check` looks for mistakes.", ""]
    for section in (SESSION, *STEP_IDS):
        if section != SESSION:
            lines += ["", *_comment(f"{step(section).title}. {step(section).purpose}"), f"{section}:"]
        indent = "" if section == SESSION else "  "
        for question in questions(section):
            comment = [*_comment(f"{question.title}. {question.help}"), f"# {_facts(question)}"]
            lines += [f"{indent}{line}" for line in comment]
            lines.append(f"{indent}{question.field}: path/to/it" if question.required else f"{indent}# {_default(question)}")
    return "\n".join(lines) + "\n"


def read_answers(path: Path, strict: bool = True) -> dict[str, dict[str, Any]]:
    """Answers of a file by section, checked. Raises ProblemsError with all mistakes, each with its line.

    The assistant's path is taken from the file's folder. Where not `strict`, "5" counts as the number too, as it does in a session.
    """
    content, problems = inspect_yaml(path, path.name)
    if content is None:
        content = parse_yaml("{}", path.name)  # an empty file is a mapping without keys
    if not isinstance(content, YamlMapping):
        raise ProblemsError([*problems, Problem(path.name, 1, "an answers file is a mapping such as `assistant: path/to/it`")])
    found = [*problems, *_not_finite(content, path.name)]
    try:
        model = file_model().model_validate_json(json.dumps(_plain(content)), strict=strict)
    except ValidationError as error:
        found += [_problem(details, content, path.name) for details in error.errors()]
    if found:
        raise ProblemsError(found)
    given: dict[str, dict[str, Any]] = {SESSION: {}}
    for name in content:
        value = getattr(model, name)
        if name in STEP_IDS:
            given[name] = value.model_dump(mode="json", exclude_unset=True) if value is not None else {}
        else:
            given[SESSION][name] = str((path.parent / value.expanduser()).resolve()) if isinstance(value, Path) else value
    return given


def not_there(path: Path, given: Mapping[str, Mapping[str, Any]]) -> Iterator[Problem]:
    """Of a file with these answers: the assistant, where no folder is there. No mistake, as it may be there where the file is used."""
    assistant = given[SESSION].get("assistant")
    if assistant and not Path(assistant).is_dir():
        content, _ = inspect_yaml(path, path.name)
        line = content.line_of("assistant") if isinstance(content, YamlMapping) else 0
        yield Problem(path.name, line, f"assistant: {assistant} is no folder here", "warning")


def _comment(text: str) -> list[str]:
    return [f"# {line}" for line in textwrap.wrap(text, _WIDE)]


def _facts(question: Question) -> str:
    """ "integer, messages; at least 0; 8 when not answered" """
    kind = "one of " + ", ".join(question.choices) if question.choices else {"flag": "true or false"}.get(question.kind, question.kind)
    unit = f", {question.unit}" if question.unit else ""
    default = "must be answered" if question.required else "may stay empty" if question.default is None else f"default {_value(question)}"
    return "; ".join(part for part in (f"{kind}{unit}", question.range, default) if part)


def _default(question: Question) -> str:
    return f"{question.field}:" if question.default is None else f"{question.field}: {_value(question)}"


def _value(question: Question) -> str:
    return yaml.safe_dump(question.default, default_flow_style=True, width=1000).splitlines()[0]


def _plain(value: Any) -> Any:
    """Whole numbers as such, however they are written, and no number that JSON has none of."""
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return None if not math.isfinite(value) else int(value) if value.is_integer() else value
    return value


def _not_finite(content: YamlMapping, file: str, within: str = "") -> Iterator[Problem]:
    for name, value in content.items():
        if isinstance(value, YamlMapping) and not within:
            yield from _not_finite(value, file, f"{name}.")
        elif isinstance(value, float) and not math.isfinite(value):
            yield Problem(file, content.line_of(name), f"{within}{name}: {content.written.get(name, value)} is no finite number")


def _problem(details: Mapping[str, Any], content: YamlMapping, file: str) -> Problem:
    line: int = content.lines.first if content else 1
    place: Any = content
    for part in details["loc"]:
        if isinstance(place, YamlMapping) and isinstance(part, str):
            line = place.line_of(part)
            place = place.get(part)
    section = details["loc"][0] if len(details["loc"]) > 1 else None
    if details["type"] == "extra_forbidden":
        return Problem(file, line, _unknown(section, str(details["loc"][-1])))
    said = in_words(details, ())
    if details["type"] == "string_pattern_mismatch":
        (asked,) = [one for one in questions(str(section or SESSION)) if one.field == details["loc"][-1]]
        said = f"{said}: {asked.help}"
    return Problem(file, line, said)


def _unknown(section: Any, name: str) -> str:
    """Of a key that is none: where it belongs, or the nearest one."""
    where = f"{section}.{name}" if section else name
    if section is None:
        belongs = [id for id in STEP_IDS if name in model_of(id).model_fields]
        if belongs:
            return f"{name} stands too far left; it belongs under {' or '.join(f'{id}:' for id in belongs)}"
        return f"{where} is not a question{near(name, file_model().model_fields)}"
    if name in model_of(SESSION).model_fields:
        return f"{where} is not a question; {name} stands at the top of the file, under no step"
    belongs = [id for id in STEP_IDS if name in model_of(id).model_fields]
    if belongs:
        return f"{where} is not a question of {section}; it is one of {', '.join(belongs)}"
    return f"{where} is not a question{near(name, model_of(section).model_fields)}"
