"""Answers files."""

from __future__ import annotations

from pathlib import Path

import click

from core.errors import UsageError
from tui.opening import (
    json_option,
)
from tui.output import narrate


@click.group()
def answers() -> None:
    """Write, check and describe answers files."""


@answers.command("init")
@click.argument("file", type=click.Path(path_type=Path), default=Path("answers.yml"))
def answers_init(file: Path) -> None:
    """Write a commented answers file with every default."""
    from core.wizard.answers import template

    if file.exists():
        raise UsageError(f"{file} exists already; remove it or name another file")
    file.write_text(template(), encoding="utf-8")
    narrate(f"wrote {file}; fill in `assistant` and run `calmtune run --answers {file}`")


@answers.command("check")
@click.argument("file", type=click.Path(path_type=Path, exists=True))
@json_option
def answers_check(file: Path, as_json: bool) -> None:
    """Check an answers file; every mistake with its line."""
    from core.wizard.answers import read_answers
    from tui import output

    given = read_answers(file)
    if as_json:
        output.as_json(given)
    else:
        output.data(f"{file}: no mistakes")


@answers.command("schema")
def answers_schema() -> None:
    """Print the JSON Schema of answers files."""
    from core.wizard.answers import schema
    from tui import output

    output.as_json(schema())
