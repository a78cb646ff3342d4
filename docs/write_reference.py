"""Writes the pages of `reference/` that follow from the code: `python docs/write_reference.py`. A test holds the pages against it."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from core import errors
from core.wizard.answers import SESSION, Question, questions
from core.wizard.event_lines import TYPES, schema
from core.wizard.recipe import STEP_IDS, step
from tui.cli import cli

HERE = Path(__file__).parent / "reference"
ANSWERS = """\
What can be answered, in the order of the steps. In an answers file the session's own stand at the top level, a step's under its name;
on the command line `--set step.field=value` gives one. `calmtune answers init` writes a file with all of them, `answers check` finds
mistakes in one, `answers schema` prints a JSON Schema for your editor.

Those marked *advanced* are not asked by the app and the plain prompts unless wanted; those marked *no influence* change no result, so
that finished steps stay as they are.
"""
OUTPUT = """\
stdout is data, stderr is narration, and both are the same bytes on a terminal, a pipe and in a file, colour aside. Where a command has
`--json`, stdout holds JSON and nothing else. [Exit codes](exit-codes.md) are the same for all.
"""
CODES = """\
# Exit codes

Messages on stderr say what is wrong, where, and what to do.

| Code | Meaning |
|---|---|
"""
EVENTS = """\
# Events

`calmtune run --json` and `calmtune resume --json` print one JSON object a line on stdout, as things happen. `calmtune events schema` prints
the JSON Schema of these lines. `version` is raised when a line loses a field or a field changes its meaning; new fields and new types do
not raise it, so readers skip what they do not know.

Every line has:
"""
NOTE = "<!-- Written by docs/write_reference.py; change the code it describes. -->\n"


def answers() -> str:
    """Every question of every step, as the answers file and `--set` name it."""
    lines = [
        NOTE,
        "# Answers\n",
        ANSWERS,
    ]
    for section in (SESSION, *STEP_IDS):
        title = "The session" if section == SESSION else f"{step(section).title} (`{section}`)"
        lines.append(f"## {title}\n")
        if section != SESSION:
            lines.append(f"{step(section).purpose}\n")
        for question in questions(section):
            lines.append(f"- **`{question.field}`** {_escaped(question.help)} {_kind(question)}")
        lines.append("")
    return "\n".join(lines)


def _kind(question: Question) -> str:
    names = {"flag": "true or false", "path": "path", "text": "text", "number": "number", "integer": "whole number"}
    parts = [" | ".join(f"`{choice}`" for choice in question.choices) or names[question.kind]]
    if question.unit:
        parts.append(question.unit)
    parts += [question.range] if question.range else []
    if question.required:
        parts.append("must be answered")
    elif question.default not in (None, ""):
        parts.append(
            f"default `{str(question.default).lower() if isinstance(question.default, bool) else question.default}`"
        )
    parts += ["advanced"] if question.advanced else []
    parts += ["no influence"] if question.cosmetic else []
    return f"*{' · '.join(parts)}*"


def command_line() -> str:
    """Every command with its arguments and options, as `--help` says them."""
    lines = [NOTE, "# Command line\n", _escaped(inspect.cleandoc(cli.help or "")) + "\n"]
    lines.append(OUTPUT)
    for name, command in _commands(cli, "calmtune"):
        context = click.Context(command, info_name=name)
        usage = " ".join(command.collect_usage_pieces(context))
        lines += [f"## {name}\n", f"```\n{name} {usage}\n```\n", *_paragraphs(command.help or "")]
        records = [
            parameter.get_help_record(context) for parameter in command.params if isinstance(parameter, click.Option)
        ]
        lines += [
            f"- **`{record[0]}`** {_escaped(' '.join(record[1].split()))}" for record in records if record is not None
        ]
        lines.append("")
    return "\n".join(lines)


def _paragraphs(text: str) -> Iterator[str]:
    """Paragraphs of a help text; those that click leaves as they are written stand in a block."""
    for paragraph in inspect.cleandoc(text).split("\n\n"):
        if paragraph.startswith("\b"):
            yield f"```\n{inspect.cleandoc(paragraph.removeprefix(chr(8)).strip(chr(10)))}\n```\n"
        else:
            yield _escaped(paragraph) + "\n"


def _commands(group: click.Group, path: str) -> Iterator[tuple[str, click.Command]]:
    """Commands that do something, by their whole names."""
    for name, command in sorted(group.commands.items()):
        if isinstance(command, click.Group):
            yield from _commands(command, f"{path} {name}")
        elif not command.hidden:
            yield f"{path} {name}", command


def exit_codes() -> str:
    """The exit code of each branch of errors, and what each means."""
    kinds = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, errors.CalmtuneError)]
    meanings: dict[int, list[str]] = {}
    for kind in kinds:
        if kind is not errors.CalmtuneError and errors.CalmtuneError in kind.__bases__:
            meanings.setdefault(kind.exit_code, []).append(inspect.cleandoc(kind.__doc__ or "").splitlines()[0])
    rows = [("0", "All that was asked ran, and every gate passed.")]
    rows += [(str(code), " ".join(texts)) for code, texts in sorted(meanings.items())]
    rows.append(("130", "Ctrl-C, SIGTERM or SIGHUP. What was finished is kept; `calmtune resume` goes on."))
    table = "\n".join(f"| {code} | {_escaped(text)} |" for code, text in rows)
    return f"{NOTE}\n{CODES}{table}\n"


def events() -> str:
    """Every type of line that a run prints for programs, with its fields."""
    kinds = schema()["$defs"]
    common = next(iter(kinds.values()))["properties"]
    shared = ("type", "version", "time", "session", "step")
    lines = [NOTE, EVENTS, *(_field(name, common[name]) for name in shared), ""]
    for name, declared in TYPES.items():
        kind = kinds[declared.__name__]
        lines += [f"## `{name}`\n", _escaped(kind["description"]) + "\n"]
        lines += [*(_field(field, what) for field, what in kind["properties"].items() if field not in shared), ""]
    return "\n".join(lines)


def _field(name: str, what: Mapping[str, Any]) -> str:
    return f"- **`{name}`** {_escaped(what.get('description', ''))}".rstrip()


def _escaped(text: str) -> str:
    """Text that Markdown shows as it is; code between backticks stays code."""
    parts = text.split("`")
    return "`".join(part if at % 2 else re.sub(r"([*<|_])", r"\\\1", part) for at, part in enumerate(parts))


PAGES = {"answers.md": answers, "command-line.md": command_line, "events.md": events, "exit-codes.md": exit_codes}

if __name__ == "__main__":
    for name, page in PAGES.items():
        (HERE / name).write_text(page(), encoding="utf-8")
