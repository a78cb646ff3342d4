"""Questions as lines of text and typed answers, for screen readers, dumb terminals and bad lines: nothing is ever drawn over.

Menus that are moved through with arrow keys redraw lines, which a screen reader reads out again and a dumb terminal garbles. So choices
are numbered lines and answers are typed: in a line that questionary edits, or as the terminal itself does where TERM is dumb.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any

from core.errors import UsageError
from core.wizard.answers import Question, one_answer, questions
from tui.opening import typed_path
from tui.output import is_terminal, narrate

BACK, MORE, HELP, NONE = "<", "+", "?", "-"
HOW = (
    "Enter takes the answer in brackets. Type < to go back, ? to hear a question again, + for the advanced questions of a step, "
    "- for no answer. Ctrl-C stops; your answers are kept."
)
_YES, _NO = ("yes", "y", "true"), ("no", "n", "false")


class Way(Enum):
    """Where somebody goes from the questions of a section."""

    ON = "on"
    BACK = "back"


def ask_section(
    section: str, given: dict[str, Any], keep: Callable[[Mapping[str, Any]], None], from_the_end: bool = False
) -> Way:
    """Ask the questions of a section in turn, with the answers `given` as defaults; changes them and hands each change to `keep`.

    `keep` may raise UsageError, and the question is asked again. Raises KeyboardInterrupt on Ctrl-C and at the end of input.
    """
    advanced = False
    asked = _asked(section, advanced)
    at = len(asked) - 1 if from_the_end else 0
    told = -1
    if more := sum(question.advanced for question in questions(section)):
        narrate(f"{more} advanced questions are left out; type + to be asked them too.")
    while at < len(asked):
        question = asked[at]
        current = given.get(question.field, question.default)
        if told != at:
            narrate(f"\nQuestion {at + 1} of {len(asked)}. {question.title}. {question.help}")
            _tell_choices(question)
            told = at
        typed = read_line(_prompt(question, current))
        if typed == BACK:
            if at == 0:
                return Way.BACK
            at -= 1
        elif typed == HELP:
            told = -1
        elif typed == MORE:
            advanced = True
            asked = _asked(section, advanced)
            at = next(place for place, one in enumerate(asked) if one.field == question.field)
            narrate(f"Advanced questions are asked too: {len(asked)} in all.")
            told = at
        else:
            try:
                value = current if not typed else None if typed == NONE else _typed(typed, question)
                if question.required and value in (None, ""):
                    raise UsageError("this one must be answered")
                changed = {name: answer for name, answer in given.items() if name != question.field}
                if value != question.default:
                    changed[question.field] = one_answer(section, question.field, value)
                keep(changed)
            except UsageError as error:
                narrate(f"{error}. Try again.")
                continue
            given.clear()
            given.update(changed)
            at += 1
    return Way.ON


def read_line(prompt: str) -> str:
    """What is typed after a prompt, without blanks around it. Raises KeyboardInterrupt at the end of input too."""
    return _edited_line(prompt) if is_terminal() else _plain_line(prompt)


def _edited_line(prompt: str) -> str:
    """By questionary, where the terminal can: the line is edited with arrows, and earlier lines are never drawn over."""
    os.environ.setdefault("PROMPT_TOOLKIT_NO_CPR", "1")  # ask the terminal nothing: on a bad line its answer comes late, as typing
    import questionary
    from prompt_toolkit.output import create_output

    question = questionary.text(prompt, qmark="", output=create_output(stdout=sys.stderr), enable_suspend=True)
    try:
        typed: str = question.unsafe_ask()
    except EOFError:
        raise KeyboardInterrupt from None
    return typed.strip()


def _plain_line(prompt: str) -> str:
    print(prompt, end=" ", file=sys.stderr, flush=True)
    typed = sys.stdin.readline()
    if not typed:
        narrate("")
        raise KeyboardInterrupt
    return typed.strip()


def yes_or_no(typed: str) -> bool | None:
    """None for what is neither."""
    return True if typed.casefold() in _YES else False if typed.casefold() in _NO else None


def shown(question: Question, value: Any) -> str:
    """An answer as it is typed."""
    if value is None or value == "":
        return "none"
    return ("yes" if value else "no") if question.kind == "flag" else str(value)


def _asked(section: str, advanced: bool) -> list[Question]:
    return [question for question in questions(section) if advanced or not question.advanced]


def _tell_choices(question: Question) -> None:
    for number, choice in enumerate(question.choices, 1):
        narrate(f"  {number} {choice}")


def _prompt(question: Question, current: Any) -> str:
    kind = {"choice": "number or name", "flag": "yes or no", "integer": "whole number", "number": "number"}.get(question.kind, "")
    facts = ", ".join(part for part in (kind, question.unit, question.range) if part)
    default = "" if question.required and not current else f" [{shown(question, current)}]"
    return f"{question.title}{f' ({facts})' if facts else ''}{default}:"


def _typed(text: str, question: Question) -> Any:
    """The value of a typed answer. Raises UsageError."""
    if question.kind == "choice":
        if text.isdecimal() and 1 <= int(text) <= len(question.choices):
            return question.choices[int(text) - 1]
        if text not in question.choices:
            raise UsageError(f"{text} is none of {', '.join(question.choices)}; type its number or its name")
        return text
    if question.kind == "flag":
        value = yes_or_no(text)
        if value is None:
            raise UsageError(f"{text} is neither yes nor no")
        return value
    if question.kind in ("integer", "number"):
        try:
            return int(text) if question.kind == "integer" else float(text)
        except ValueError as error:
            raise UsageError(f"{text} is no {'whole ' if question.kind == 'integer' else ''}number") from error
    if question.kind == "path" and not typed_path(text).exists():
        raise UsageError(f"there is no file or folder {text} here")
    return str(typed_path(text).resolve()) if question.kind == "path" else text
