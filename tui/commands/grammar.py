"""The grammar of an assistant's commands: printed, or added to requests by a proxy."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from core.errors import UsageError
from tui.opening import json_option

if TYPE_CHECKING:
    from core.assistant.settings import Dialect

BACKLOG = 2048
"""Connections that wait to be taken, as many as the server itself lets wait."""

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

    text = _grammar(path, dialect)
    if as_json:
        output.as_json(request_extra(text))
    else:
        output.data(text.rstrip("\n"))


@click.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--to", required=True, metavar="URL", help="The model server, such as http://127.0.0.1:8000/v1.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(1, 65535), default=8001, show_default=True, help="Port to listen on.")
@dialect_option
def proxy(path: Path, to: str, host: str, port: int, dialect: Dialect | None) -> None:
    """Stand before a model server and add the grammar of the assistant in PATH to each request, until Ctrl-C.

    For assistants whose client cannot send a grammar: let only their command generator use this address. Keys go through as they
    come. The server must keep to grammars, as vLLM does from 0.11 on.
    """
    from importlib.util import find_spec

    if any(find_spec(name) is None for name in ("starlette", "uvicorn")):
        raise UsageError("the proxy needs starlette and uvicorn; install calmtune[proxy]")
    import socket

    import uvicorn

    from core.serving.grammar import request_extra
    from core.serving.grammar_proxy import application
    from tui import output

    app = application(to, request_extra(_grammar(path, dialect)))
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((host, port))
            listening.listen(BACKLOG)  # so that whoever reads the next line may ask at once
        except OSError as error:
            raise UsageError(
                f"cannot listen on {host}, port {port}: {error.strerror or error}; choose another with --port"
            ) from error
        address = f"http://{f'[{host}]' if family == socket.AF_INET6 else host}:{port}/v1"
        output.narrate(f"{address} adds the grammar and passes on to {to}; Ctrl-C stops")
        uvicorn.Server(uvicorn.Config(app, log_level="warning")).run([listening])


def _grammar(path: Path, dialect: Dialect | None) -> str:
    from core.assistant.project import load_assistant
    from core.assistant.repair import with_default_patterns
    from core.serving.grammar import grammar

    assistant = with_default_patterns(load_assistant(path))
    return grammar(assistant, dialect or assistant.settings.dialect)
