"""Answers files: what the check accepts, the published schema accepts, and the other way round."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.errors import ProblemsError
from core.wizard.answers import SESSION, Question, questions
from core.wizard.answers_file import read_answers, schema, template
from core.wizard.recipe import STEP_IDS

VALIDATOR = jsonschema.Draft202012Validator(schema())
EVERY = [question for section in (SESSION, *STEP_IDS) for question in questions(section)]
BEYOND_SCHEMA = {("deployment", "export_to")}
"""Judged by a function, which a schema cannot say."""


def accepted(content: Any) -> tuple[bool, str]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "answers.yml"
        path.write_text(yaml.safe_dump(content, allow_unicode=True, sort_keys=False), encoding="utf-8")
        try:
            read_answers(path)
        except ProblemsError as error:
            return not all(problem.file == "answers.yml" and problem.line >= 1 for problem in error.problems), str(error)
    return True, ""


WORDS = st.text("abz09 _:/.,-", max_size=12)
ANYTHING = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 2000),
    st.floats(-2, 200, allow_nan=False).map(lambda value: round(value, 3)),
    WORDS,
    st.lists(st.integers(0, 3), max_size=2),
    st.dictionaries(WORDS, st.integers(0, 3), max_size=2),
)


def likely(question: Question) -> st.SearchStrategy[Any]:
    """Values of which many are right."""
    if question.choices:
        return st.sampled_from(question.choices)
    numbers = [limit + step for limit in (question.minimum, question.maximum) if limit is not None for step in (-1, 0, 0.5, 1)]
    return st.one_of(st.just(question.default), st.sampled_from(numbers or [0, 1]), ANYTHING)


@st.composite
def contents(draw: st.DrawFn) -> dict[str, Any]:
    content: dict[str, Any] = {"assistant": "bot"} if draw(st.integers(0, 9)) else {}
    for question in draw(st.lists(st.sampled_from(EVERY), max_size=6, unique_by=lambda one: (one.section, one.field))):
        if (question.section, question.field) in BEYOND_SCHEMA:
            continue
        value = draw(likely(question) if draw(st.integers(0, 3)) else ANYTHING)
        place = content if question.section == SESSION else content.setdefault(question.section, {})
        place[question.field] = value
    if not draw(st.integers(0, 9)):
        content[draw(WORDS)] = draw(ANYTHING)
    if not draw(st.integers(0, 9)):
        content[draw(st.sampled_from(STEP_IDS))] = draw(ANYTHING)
    return content


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(contents())
def test_check_and_schema_accept_the_same(content):
    passes, why = accepted(content)
    assert passes == VALIDATOR.is_valid(content), why or [error.message for error in VALIDATOR.iter_errors(content)]


def uncommented(text: str) -> str:
    """The template with each default in the place of its comment."""
    names = {question.field for question in EVERY}
    lines = []
    for line in text.splitlines():
        body = line.strip().removeprefix("# ")
        wanted = line.strip().startswith("# ") and body.partition(":")[0] in names and ": " in f"{body} "
        indent = line[: len(line) - len(line.lstrip())]
        lines.append(f"{indent}{body}" if wanted else line)
    return "\n".join(lines)


@pytest.mark.parametrize("defaults", [False, True])
def test_the_template_and_its_defaults_are_valid(defaults, tmp_path):
    text = uncommented(template()) if defaults else template()
    (tmp_path / "answers.yml").write_text(text)
    given_answers = read_answers(tmp_path / "answers.yml")
    VALIDATOR.validate(yaml.safe_load(text))
    if defaults:
        for question in EVERY:
            if not question.required:
                assert given_answers[question.section][question.field] == question.default, question


def _section(found: dict[str, Any], section: str) -> dict[str, Any]:
    reference = found["properties"][section]["anyOf"][0]["$ref"]
    return found["$defs"][reference.rpartition("/")[2]]


def test_the_schema_says_of_each_question_what_forms_say():
    found = schema()
    for question in EVERY:
        at = found if question.section == SESSION else _section(found, question.section)
        said = at["properties"][question.field]
        inner = [said, *said.get("anyOf", ())]
        assert said["title"] == question.title
        assert said["description"] == question.help
        assert question.required or said["default"] == question.default
        assert not question.choices or any(one.get("enum") == list(question.choices) for one in inner), question
        limits = {name for one in inner for name in one if "imum" in name}
        assert len(limits) == (question.minimum is not None) + (question.maximum is not None)
