"""Plain prompts over the same questions, for screen readers and dumb terminals. Ctrl-B goes back one question."""

from __future__ import annotations

import sys
from typing import Any

from core.errors import UsageError
from core.wizard.answers import SESSION, Question, questions, validate
from core.wizard.recipe import STEP_IDS, step
from tui.output import narrate

_BACK = object()


def ask(answers: dict[str, dict[str, Any]]) -> None:
    """Ask every question, with the answers so far as defaults; changes `answers`. Ctrl-C raises KeyboardInterrupt."""
    if not sys.stdin.isatty():
        raise UsageError("no terminal to ask in; use `calmtune run --answers answers.yml`")
    asked = [question for section in (SESSION, *STEP_IDS) for question in questions(section) if not question.advanced]
    at, section = 0, ""
    while at < len(asked):
        question = asked[at]
        if question.section != section:
            section = question.section
            if section != SESSION:
                narrate(f"\n{step(section).title}: {step(section).purpose}")
        given = answers.setdefault(question.section, {})
        value = _ask_one(question, given.get(question.field, question.default))
        if value is _BACK:
            at = max(0, at - 1)
            continue
        trial = {**given, question.field: value}
        try:
            if not question.required or value:
                validate(question.section, trial, question.title)
        except UsageError as error:
            narrate(str(error))
            continue
        if value != question.default:
            given[question.field] = value
        else:
            given.pop(question.field, None)
        at += 1


def _ask_one(question: Question, default: Any) -> Any:
    import questionary
    from prompt_toolkit.key_binding import KeyBindings, merge_key_bindings

    text = f"{question.title}{f' ({question.unit})' if question.unit else ''}:"
    narrate(question.help)
    if question.kind == "choice":
        prompt = questionary.select(text, list(question.choices), default=str(default))
    elif question.kind == "flag":
        prompt = questionary.confirm(text, default=bool(default))
    elif question.kind == "path":
        prompt = questionary.path(text, default=str(default or ""))
    else:
        prompt = questionary.text(text, default="" if default is None else str(default))
    back = KeyBindings()
    back.add("c-b")(lambda event: event.app.exit(result=_BACK))
    own = prompt.application.key_bindings
    prompt.application.key_bindings = merge_key_bindings([own, back]) if own else back
    answer = prompt.unsafe_ask()
    if answer is _BACK or question.kind in ("choice", "flag"):
        return answer
    return _typed(answer.strip(), question)


def _typed(text: str, question: Question) -> Any:
    if not text:
        return question.default
    try:
        return int(text) if question.kind == "integer" else float(text) if question.kind == "number" else text
    except ValueError:
        return text
