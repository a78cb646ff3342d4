"""The same for docker compose: one service checks the weights, the other serves once they are found whole."""

from __future__ import annotations

from typing import Any

from core.serving.manifests.container import (
    ENVIRONMENT,
    HEALTH_PROGRAM,
    KEY,
    SHARED_MEMORY_GIB,
    START_MINUTES,
    USER,
    checking_command,
)
from core.serving.manifests.served import PORT, Served
from core.serving.manifests.text import yaml_text
from core.serving.manifests.versions import IMAGE, VLLM

_SUMS = "/checksums"


def compose(served: Served) -> str:
    """compose.yaml. The key comes from $VLLM_API_KEY of the shell, or of a file `.env` beside it."""
    folders = [_bind(str(folder.here or f"./{folder.role}"), folder.place) for folder in served.folders]
    sums = [
        _bind(f"./{folder.sums_file}", f"{_SUMS}/{folder.sums_file}") for folder in served.folders if folder.checksums
    ]
    hardened = {
        "image": IMAGE,
        "user": f"${{SERVER_USER:-{USER}:{USER}}}",
        "read_only": True,
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
    }
    checking = {
        **hardened,
        "entrypoint": ["sh", "-c"],
        "command": [checking_command(served, _SUMS)],
        "network_mode": "none",
        "restart": "no",
        "volumes": [*folders, *sums],
    }
    serving = {
        **hardened,
        "entrypoint": ["vllm", "serve"],
        "command": list(served.arguments),
        "depends_on": {"weights": {"condition": "service_completed_successfully"}},
        "restart": "unless-stopped",
        "ports": [f"127.0.0.1:{PORT}:{PORT}"],
        "environment": {KEY: f"${{{KEY}:?choose a key first and export it, or write it to .env}}", **ENVIRONMENT},
        "volumes": folders,
        "tmpfs": ["/tmp:exec,mode=1777"],
        "shm_size": f"{SHARED_MEMORY_GIB}gb",
        "healthcheck": {
            "test": ["CMD", "python3", "-c", HEALTH_PROGRAM],
            "start_period": f"{START_MINUTES}m",
            "interval": "30s",
            "timeout": "10s",
            "retries": 3,
        },
        "deploy": {"resources": {"reservations": {"devices": [_gpus(served.flags.gpus)]}}},
    }
    comment = (
        f"Serves {served.name} with vLLM {VLLM}, at http://127.0.0.1:{PORT}/v1 of this machine only.\n"
        f'  export {KEY}="$(openssl rand -hex 32)"   # or a line {KEY}=... in .env beside this file\n'
        '  export SERVER_USER="$(id -u):$(id -g)"   # who may read the folders below; 1000:1000 unless said\n'
        "  docker compose up --detach\n"
        "`source` is where a folder lies on this machine."
    )
    return yaml_text(comment, [{"name": served.resource, "services": {"weights": checking, "model": serving}}])


def _bind(source: str, target: str) -> dict[str, Any]:
    return {
        "type": "bind",
        "source": source.replace("$", "$$"),  # compose replaces variables
        "target": target,
        "read_only": True,
        "bind": {"create_host_path": False},  # one that is missing is a mistake
    }


def _gpus(count: int) -> dict[str, Any]:
    return {"driver": "nvidia", "count": count, "capabilities": ["gpu"]}
