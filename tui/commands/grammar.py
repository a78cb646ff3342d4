"""The grammar of an assistant's commands, printed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from tui.opening import json_option

if TYPE_CHECKING:
    from core.assistant.settings import Dialect

dialect_option = click.option(
    "--dialect",
    type=click.Choice(["v1", "v2", "v3"]),
    help="Form of the commands; the assistant's own when not given.",
)


@click.command()
@click.argument("path", type=click.Path(path_type=Path))
@dialect_option
@json_option
def grammar(path: Path, dialect: Dialect | None, as_json: bool) -> None:
    """Print the grammar of all commands the assistant in PATH can use, for a server's structured outputs.

    With --json, as what a request to vLLM holds beside its messages.
    """
    from core.serving.grammar import request_extra
    from tui import output

    text = grammar_of(path, dialect)
    if as_json:
        output.as_json(request_extra(text))
    else:
        output.data(text.rstrip("\n"))


def grammar_of(path: Path, dialect: Dialect | None) -> str:
    """The grammar of the assistant in a folder, in its own dialect when none is given."""
    from core.assistant.project import load_assistant
    from core.assistant.repair import with_default_patterns
    from core.serving.grammar import grammar

    assistant = with_default_patterns(load_assistant(path))
    return grammar(assistant, dialect or assistant.settings.dialect)
