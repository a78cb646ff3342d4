"""Commands about this machine: what it has, a model served on it, the app in a browser."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from core.errors import ProviderError, UsageError
from tui import completion
from tui.opening import (
    home,
    json_option,
    patterns_option,
)
from tui.output import narrate

if TYPE_CHECKING:
    from core.assistant.repair import PatternChoice


@click.command()
@click.argument("path", type=click.Path(path_type=Path), required=False)
@click.option("--tests", help="With PATH: test file or folder; found in the assistant's folder when not given.")
@patterns_option
@click.option("--host", shell_complete=completion.hosts,
    help="A machine reached over SSH instead: a name of the SSH configuration, or user@host:port.",
)
@click.option("--end", metavar="MACHINE", help="End this rented machine or service, which no session here owns.")
@json_option
def doctor(
    path: Path | None, tests: str | None, patterns: PatternChoice, host: str | None, end: str | None, as_json: bool
) -> None:
    """Look at the assistant in PATH: what it uses, what of it runs here and what does not.

    Without PATH, look at this machine: what is installed, what runs without a session to own it; or at another one.
    """
    if path is None and (tests is not None or patterns != "auto"):
        raise UsageError("--tests and --patterns go with PATH, the folder of an assistant")
    if path is not None:
        if host is not None:
            raise UsageError("give either PATH, to look at an assistant, or --host, to look at a machine")
        from tui.commands.project_check import check_project

        check_project(path, tests, patterns, as_json)
        return
    if host is not None:
        from tui.commands.machine_check import check_host

        check_host(host.removeprefix("ssh:"), as_json)
        return
    from tui.commands.rented import end_rented, look_at_rented

    if end is not None:
        end_rented(end, home(), narrate)
        narrate(f"{end} is ended")
        return
    from importlib.util import find_spec

    from core.wizard.session import sessions_in
    from provisioning.job import Resources
    from provisioning.local import LocalTarget
    from provisioning.ssh_hosts import known_aliases
    from tui import output

    packages = {
        "train": ("torch", "transformers", "trl", "peft", "datasets"),
        "serve": ("transformers", "fastapi", "uvicorn"),
        "vllm": ("vllm",),
        "actions": ("rasa_sdk",),
        "plots": ("matplotlib",),
        "cloud": ("sky",),
        "export": ("s3fs", "gcsfs", "adlfs"),
    }
    found: list[dict[str, str]] = []
    for name, modules in packages.items():
        missing = [module for module in modules if find_spec(module) is None]
        found.append({"what": name, "state": f"missing {', '.join(missing)}" if missing else "installed"})
    (offer,) = LocalTarget(home()).offers(Resources())
    found.append({"what": "this machine", "state": offer.reason})
    if hosts := known_aliases():
        found.append({"what": "SSH hosts", "state": f"{', '.join(hosts)}; `calmtune doctor --host NAME` looks at one"})
    for folder in sessions_in(home()):
        for job in LocalTarget(folder / "jobs").list():
            if job.state == "running":
                found.append({"what": f"job {job.id}", "state": f"running; `calmtune stop {folder.name}` ends it"})
    try:
        found += look_at_rented(home())
    except ProviderError as error:
        found.append({"what": "rented machines", "state": f"cannot be asked for: {error}"})
    if as_json:
        output.as_json(found)
    else:
        output.data(output.table([[row["what"], row["state"]] for row in found], ["what", "state"]))


@click.command()
@click.argument("model", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--name", default="calmtune", show_default=True, help="Name under which vLLM serves it.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Port on 127.0.0.1; 0 takes a free one.")
@click.option(
    "--engine", type=click.Choice(["auto", "vllm", "transformers"]), default="auto", show_default=True,
    help="The server; auto takes vLLM where it is installed.",
)  # fmt: skip
def serve(model: Path, name: str, port: int, engine: str) -> None:
    """Serve the model or adapter in folder MODEL on this machine until Ctrl-C."""
    import asyncio
    import tempfile

    from core.serving.adapter import adapter_in
    from core.serving.server import ModelServer, plan_server
    from core.training.base_finder import resolve_here
    from core.training.bundle import MANIFEST, ModelArtifact
    from tui import output

    async def until_stopped() -> None:
        adapter = adapter_in(model)
        base = str(await resolve_here(adapter.base, like=adapter.like)) if adapter is not None else ""
        manifest = model.resolve().parent / MANIFEST  # where training left it
        longest = ModelArtifact(model, manifest).longest_row if manifest.is_file() else 0
        plan = plan_server(model.resolve(), name, engine, port, base=base, longest_row=longest)  # type: ignore[arg-type]
        output.narrate(f"serving with {plan.engine}: {plan.reason}")
        with tempfile.TemporaryDirectory() as scratch:
            async with ModelServer(plan, Path(scratch) / "server.log"):
                output.as_json(
                    {"endpoint": plan.endpoint.base_url, "model": plan.endpoint.model, "engine": plan.engine}
                )
                output.narrate("serving; Ctrl-C stops")
                await asyncio.Event().wait()

    asyncio.run(until_stopped())


@click.command()
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8765, show_default=True, help="Port on 127.0.0.1; 0 takes a free one."
)
def web(port: int) -> None:
    """The app in a browser, on this machine only. Prints the address, with the token that lets a browser in."""
    from importlib.util import find_spec

    if find_spec("textual_serve") is None:
        raise UsageError("the browser version needs textual-serve; install calmtune[web]")
    from tui.web import serve

    serve(port)
