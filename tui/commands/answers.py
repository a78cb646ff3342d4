"""Answers files."""

from __future__ import annotations

from pathlib import Path

import click

from core.errors import UsageError
from tui.opening import json_option
from tui.output import narrate, writing


@click.group()
def answers() -> None:
    """Write, check and describe answers files."""


@answers.command("init")
@click.argument("file", type=click.Path(path_type=Path), default=Path("answers.yml"))
@click.option("--schema", "with_schema", is_flag=True, help="Write the JSON Schema beside it, for editors to check and complete with.")
def answers_init(file: Path, with_schema: bool) -> None:
    """Write an answers file with every question: what it means, its choices and its default."""
    import json

    from core.wizard.answers_file import SCHEMA_FILE, schema, template

    if file.exists():
        raise UsageError(f"{file} exists already; remove it or name another file")
    with writing(file):
        if with_schema:
            beside = file.with_name(SCHEMA_FILE)
            beside.write_text(json.dumps(schema(), ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
            narrate(f"wrote {beside}")
        file.write_text(template(SCHEMA_FILE if with_schema else None), encoding="utf-8")
    narrate(f"wrote {file}; fill in `assistant` and run `calmtune run --answers {file}`")


@answers.command("check")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@json_option
def answers_check(file: Path, as_json: bool) -> None:
    """Check an answers file; every mistake with its line. With --json, the answers given, or the mistakes."""
    from dataclasses import asdict

    from core.errors import ProblemsError
    from core.wizard.answers_file import not_there, read_answers
    from tui import output

    try:
        given = read_answers(file)
    except ProblemsError as error:
        if as_json:
            output.as_json({"mistakes": [asdict(problem) for problem in error.problems]})
        raise
    for problem in not_there(file, given):
        narrate(f"warning: {problem}")
    if as_json:
        output.as_json(given)
    else:
        output.data(f"{file}: no mistakes")


@answers.command("schema")
def answers_schema() -> None:
    """Print the JSON Schema of answers files."""
    from core.wizard.answers_file import schema
    from tui import output

    output.as_json(schema())
