"""Model servers on other machines: vLLM where there is a GPU, else `transformers serve`, on the machine's own loopback."""

from __future__ import annotations

import secrets
from pathlib import Path

from core.llm.client import Endpoint
from core.serving.server import ANSWER_SECONDS, Engine, ServerPlan
from core.training.plan import SPINS
from provisioning.preflight import Facts
from provisioning.python import python_command

_FOLDER = Path(__file__).parent
_MODEL = "model"
"""Folder of the model in the job's folder."""


def plan_elsewhere(
    place: str,
    facts: Facts,
    port: int,
    model: Path,
    served_name: str,
    engine: Engine = "auto",
    python: str = "",
    key: str | None = None,
) -> ServerPlan:
    """The server of a model on a machine of which `facts` and a free `port` are known.

    The plan's endpoint is the machine's own address; a tunnel makes another of it. `python` is an interpreter there that has the
    server; without one an environment is made there once. `key` is made up for vLLM when not given.
    """
    name = facts.gpus[0]["name"] if facts.gpus else ""
    address = f"http://127.0.0.1:{port}/v1"
    if engine == "vllm" or (engine == "auto" and facts.gpus):
        key = key or secrets.token_urlsafe(32)
        start = python_command(
            place, python, _FOLDER / "vllm.txt", "vllm", "serve", _MODEL, "--served-model-name", served_name,
            "--host", "127.0.0.1", "--port", str(port), "--enable-prefix-caching",
        )  # fmt: skip
        return ServerPlan(
            "vllm",
            start.command,
            Endpoint(address, served_name, None, ANSWER_SECONDS, key, keeps_to_grammar=True),
            {"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1"},
            {"VLLM_API_KEY": key},
            f"{place} has a GPU: {name}" if name else "as chosen",
            files={**start.files, _MODEL: model},
            gpus=1,
        )
    start = python_command(
        place, python, _FOLDER / "transformers.txt", "transformers", "serve", _MODEL,
        "--host", "127.0.0.1", "--port", str(port), "--log-level", "warning",
    )  # fmt: skip
    return ServerPlan(
        "transformers",
        start.command,
        Endpoint(address, _MODEL, None, ANSWER_SECONDS),  # this server knows the model by its folder
        {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "GOMP_SPINCOUNT": SPINS},
        reason="as chosen" if engine == "transformers" else f"{place} has no GPU",
        files={**start.files, _MODEL: model},
    )
