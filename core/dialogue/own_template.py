"""Prompt templates of the owner: Jinja in a sandbox, with the documented variables, used as they are.

A name that is not documented is a mistake, never an empty text: a model would be trained on prompts with a hole. Names a template itself
asks for (`is defined`, `default`) may be missing.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from jinja2 import Template, TemplateSyntaxError, meta, nodes

from core.assistant import templates
from core.assistant.domain import Slot
from core.errors import Problem, ProblemsError

VARIABLES: Mapping[str, str] = {
    "available_flows": "flows a user can start now: name, description, slots (each name, description, type, allowed_values)",
    "current_conversation": "lines `USER: …` and `AI: …`, the message to be understood among them",
    "flow_slots": 'slots of the active flow: name, value ("undefined" when empty), type, description, allowed_values',
    "current_flow": "the active flow; none outside of flows",
    "current_slot": "the slot asked for; none when none is",
    "current_slot_description": "its description",
    "current_slot_type": "its type",
    "current_slot_allowed_values": "its allowed values; none where any is allowed",
    "user_message": "the message to be understood",
    "current_datetime": "now, where config.yml says include_date_time; else none",
    "is_repeat_command_enabled": "always true",
    "active_agent": "always none: there are no agents here",
    "completed_agents": "always an empty list",
}
"""Name → what a template finds there."""


class OwnTemplate:
    """A template of the owner, checked when it is read."""

    def __init__(self, path: Path, root: Path) -> None:
        """`root`: folder of the assistant, from where mistakes name the file. Raises ProblemsError with all mistakes found."""
        self._shown = path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)
        try:
            text = path.read_text(encoding="utf-8")
        except OSError as error:
            raise self._mistake(0, f"the prompt template cannot be read: {error.strerror}") from error
        except UnicodeDecodeError as error:
            line = path.read_bytes()[: error.start].count(b"\n") + 1
            raise self._mistake(line, "the prompt template is not UTF-8; save it as UTF-8") from error
        try:
            tree = templates.STRICT.parse(text)
            code = templates.STRICT.compile(text, filename=self._shown)
        except (TemplateSyntaxError, templates.Refused) as error:  # the first covers unknown filters and tests
            raise self._mistake(error.lineno, f"the prompt template is no valid Jinja: {error.message}") from error
        if unknown := list(_unknown(tree)):
            raise ProblemsError([Problem(self._shown, line, _explained(name)) for name, line in unknown])
        self._template = Template.from_code(templates.STRICT, code, templates.STRICT.make_globals(None))

    def render(self, variables: Mapping[str, Any]) -> str:
        """The prompt. Raises ProblemsError with the line where rendering failed."""
        try:
            with templates.budget():
                return self._template.render(variables)
        except Exception as error:  # a template can do as much as a program
            line = _line_of(error, self._shown)
            raise self._mistake(line, f"the prompt template cannot be rendered: {error}") from error

    def _mistake(self, line: int, message: str) -> ProblemsError:
        return ProblemsError([Problem(self._shown, line, message)])


def allowed_values(slot: Slot) -> list[str] | None:
    """What templates are told a slot takes: True and False, or the values of a category and "other" as the way out."""
    values = list(slot.allowed_values)
    if slot.type == "categorical" and "other" not in values:
        values.append("other")
    return values or None


def _unknown(tree: nodes.Template) -> Iterator[tuple[str, int]]:
    """Names that are neither variables, nor made by the template, nor asked for with care; each with its first line."""
    asked = {
        node.node.name
        for node in tree.find_all((nodes.Test, nodes.Filter))
        if node.name in ("defined", "undefined", "default", "d") and isinstance(node.node, nodes.Name)
    }
    unknown = meta.find_undeclared_variables(tree) - VARIABLES.keys() - templates.STRICT.globals.keys() - asked
    lines: dict[str, int] = {}
    for node in tree.find_all(nodes.Name):
        if node.name in unknown:
            lines.setdefault(node.name, node.lineno)
    yield from lines.items()


def _explained(name: str) -> str:
    near = difflib.get_close_matches(name, VARIABLES, 1)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(VARIABLES)}"
    return f"prompt templates are given no {name}; {hint}"


def _line_of(error: BaseException, file: str) -> int:
    """The innermost line of the template on the way to an error; 0 when there is none."""
    line, step = 0, error.__traceback__
    while step is not None:
        if step.tb_frame.f_code.co_filename == file:
            line = step.tb_lineno
        step = step.tb_next
    return line
