"""A proxy before a model server, and a look at a published one from outside."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import click

from core.errors import GateFailed, UsageError
from tui.commands.grammar import dialect_option
from tui.opening import json_option

if TYPE_CHECKING:
    from core.assistant.settings import Dialect
    from core.serving.proxy.certificate import Pair

_file = click.Path(path_type=Path, dir_okay=False)


@click.command()
@click.argument("path", type=click.Path(path_type=Path), required=False)
@click.option("--to", required=True, metavar="URL", help="The model server, such as http://127.0.0.1:8000/v1.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(1, 65535), default=8001, show_default=True, help="Port to listen on.")
@dialect_option
@click.option("--keys", type=_file, help="File with name=key a line, a key for each client; else CALMTUNE_PROXY_KEYS is read.")
@click.option(
    "--server-key", default="VLLM_API_KEY", show_default=True, metavar="VARIABLE",
    help="Environment variable with the model server's own key, which clients with keys never see.",
)  # fmt: skip
@click.option("--certificate", type=_file, help="Certificate (chain) in PEM form, for TLS.")
@click.option("--certificate-key", type=_file, help="Its private key.")
@click.option(
    "--self-signed", type=click.Path(path_type=Path, file_okay=False), metavar="FOLDER",
    help="Make a certificate that signs itself and its key in FOLDER, or take the ones there.",
)  # fmt: skip
@click.option("--name", "names", multiple=True, help="With --self-signed: a name or address that clients use; repeatable.")
@click.option("--allow", default="", metavar="NETWORKS", help="Only let in these addresses, such as 10.1.0.0/16,192.0.2.7.")
@click.option(
    "--requests-per-minute", type=click.FloatRange(min=1), default=600, show_default=True, help="Of each client with a key."
)  # fmt: skip
@click.option("--at-once", type=click.IntRange(min=1), default=16, show_default=True, help="Requests of a client under way.")
def proxy(
    path: Path | None,
    to: str,
    host: str,
    port: int,
    dialect: Dialect | None,
    keys: Path | None,
    server_key: str,
    certificate: Path | None,
    certificate_key: Path | None,
    self_signed: Path | None,
    names: tuple[str, ...],
    allow: str,
    requests_per_minute: float,
    at_once: int,
) -> None:
    """Stand before a model server until Ctrl-C: add the grammar of the assistant in PATH to each request, and let clients in.

    Only /v1/chat/completions, /v1/completions, /v1/models and /health go through. Without keys those of clients go through as they
    come, which is for this machine only; other machines get in with TLS and keys alone (see --certificate, --self-signed, --keys), and
    `calmtune probe` shows what they see. The server must keep to grammars, as vLLM does from 0.11 on.
    """
    from importlib.util import find_spec

    if any(find_spec(name) is None for name in ("starlette", "uvicorn")):
        raise UsageError("the proxy needs starlette and uvicorn; install calmtune[proxy]")
    from core.serving.proxy.certificate import fingerprint
    from core.serving.proxy.keys import keys_in_environment, keys_in_file
    from core.serving.proxy.server import Settings, serve
    from tui import output

    clients = keys_in_file(keys) if keys is not None else keys_in_environment()
    pair = _pair(certificate, certificate_key, self_signed, names)
    settings = Settings(to, host, port, pair, allow, requests_per_minute, at_once)
    extra = _extra(path, dialect)
    does = "adds the grammar and passes on" if extra else "passes on"
    if pair is not None:
        output.narrate(f"SHA-256 of the certificate, for clients to compare: {fingerprint(pair.certificate)}")
    serve(
        settings,
        extra,
        clients,
        os.environ.get(server_key, ""),
        output.narrate,
        lambda address: output.narrate(f"{address} {does} to {to}; Ctrl-C stops"),
    )


@click.command()
@click.argument("url")
@click.option(
    "--key", "variable", default="CALMTUNE_PROBE_KEY", show_default=True, metavar="VARIABLE",
    help="Environment variable with a client's key, to see what is open with one.",
)  # fmt: skip
@click.option("--certificate", type=_file, help="The server's certificate, where no authority vouches for it.")
@json_option
def probe(url: str, variable: str, certificate: Path | None, as_json: bool) -> None:
    """Look at a published model server at URL from outside: which addresses, methods and TLS are open, and that all else is closed.

    Run it from another machine, as clients see it. Exit code 5 when something is open that should not be.
    """
    from importlib.util import find_spec

    if find_spec("starlette") is None:
        raise UsageError("the probe needs starlette; install calmtune[proxy]")
    from core.serving.proxy.probe import Probe
    from tui import output

    found = []
    for finding in Probe(url, os.environ.get(variable, ""), certificate).look():
        found.append(finding)
        if not as_json:
            output.data(f"{finding.state.upper():<9}  {finding.sentence}")
    if as_json:
        output.as_json([vars(finding) for finding in found])
    if failed := sum(finding.state == "fail" for finding in found):
        raise GateFailed(f"{failed} of {len(found)} findings failed; `calmtune proxy` lets only the four addresses through")


def _pair(
    certificate: Path | None, key: Path | None, self_signed: Path | None, names: tuple[str, ...]
) -> Pair | None:
    """Certificate and key as the options say; None without TLS."""
    from core.serving.proxy.certificate import Pair, make_self_signed

    if self_signed is not None:
        if certificate is not None or key is not None:
            raise UsageError("give either --self-signed or --certificate with --certificate-key")
        return make_self_signed(self_signed, names or (socket.gethostname(), "localhost", "127.0.0.1"))
    if (certificate is None) != (key is None):
        raise UsageError("--certificate and --certificate-key go together")
    return Pair(certificate, key) if certificate is not None and key is not None else None


def _extra(path: Path | None, dialect: Dialect | None) -> dict[str, object]:
    """What is added to requests: the grammar of an assistant, or nothing."""
    from core.serving.grammar import request_extra
    from tui.commands.grammar import grammar_of

    return request_extra(grammar_of(path, dialect)) if path is not None else {}
