"""A SkyServe service: SkyPilot rents machines for replicas, and puts a load balancer before them.

On each replica vLLM listens on loopback, with a key that is made there and known nowhere else; before it stands calmtune's proxy, which
knows clients by the digests of their keys. So nothing that SkyPilot is told opens anything; SkyServe's balancer sees and logs keys.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

from core.serving.manifests.container import HEALTH, KEY, START_MINUTES
from core.serving.manifests.served import PORT, Served
from core.serving.manifests.text import shell_lines, yaml_text
from core.serving.manifests.versions import VLLM
from core.serving.proxy.archive import ARCHIVE, PACKAGES
from core.serving.proxy.keys import SERVER_KEY_VARIABLE, VARIABLE
from core.training.hardware import named_gpu

REPLICA = "replica"
"""Folder with what each replica needs. A folder, since SkyServe copies folders, but mounts single files by a program it has to download."""
SETTINGS = "proxy.json"
_GPUS = ("L4", "A10G", "A100", "L40S", "A100-80GB", "H100")
"""By SkyPilot's names; each computes bfloat16."""
_FILES = "/calmtune"
"""Where that lies on a replica."""
_BEHIND = PORT + 1
"""On the replica's loopback: vLLM's."""
_ENVIRONMENT = "~/vllm/bin"


def skyserve(served: Served) -> str:
    """The YAML of `sky serve up`. Digests of keys are given on the way up; weights travel through a bucket of the cloud's."""
    fitting = [name for name in _GPUS if named_gpu(name).memory >= served.flags.gpu_memory]
    any_of = [{"accelerators": f"{name}:{served.flags.gpus}"} for name in fitting or ["H200"]]
    resources = {"any_of": any_of, "cpus": "4+", "memory": f"{served.memory_gib}+", "disk_size": disk_gib(served), "ports": PORT}
    task = {**service_task(served), "resources": resources, "envs": {VARIABLE: None}}
    if served.hub_base:
        task["secrets"] = {"HF_TOKEN": ""}
    return yaml_text(
        f"Serves {served.name} with vLLM {VLLM} on rented machines, at the address `sky serve status` shows. On each a proxy lets whoever\n"
        "has a key through to four addresses of a vLLM that nobody else reaches. It knows keys by their digests:\n"
        f'  export {VARIABLE}="assistant=sha256:$(printf %s "${KEY}" | sha256sum | cut -c -64)"\n'
        f"  sky serve up skyserve.yaml --service-name {served.resource} --env {VARIABLE}\n"
        "in this folder. The balancer writes the headers of each request, keys among them, to its log on SkyServe's controller: let\n"
        "nobody else read that machine. Without `tls` (keyfile, certfile) in `service`, keys and prompts travel to the balancer in the\n"
        "clear. From there to replicas they always do: keep both in one private network (https://docs.skypilot.co/en/latest/reference/config.html).",
        [{key: task[key] for key in sorted(task, key=_order)}],
    )


def service_task(served: Served, beside: str = ".", python: str = "") -> dict[str, Any]:
    """The task of a service, without the machines it needs and the digests of keys it lets in ($CALMTUNE_PROXY_KEYS).

    `beside` is the folder that `write_files` has written; `python` an interpreter on the machines that has vLLM and the proxy's packages,
    empty for an environment that is made there.
    """
    mounts = {folder.place: str(folder.here) for folder in served.folders if folder.here is not None}
    programs = str(PurePosixPath(python).parent) if python else _ENVIRONMENT
    return {
        "name": served.resource,
        "service": {
            "ports": PORT,  # named here as well: where there are several kinds of machine, SkyServe reads it nowhere else
            "readiness_probe": {"path": HEALTH, "initial_delay_seconds": 60 * START_MINUTES},
            "replica_policy": {
                "min_replicas": served.replicas,
                "max_replicas": served.most,
                "target_qps_per_replica": served.requests_per_second,
            },
        },
        "resources": {"ports": PORT},
        "file_mounts": {**mounts, _FILES: f"{beside}/{REPLICA}"},
        "setup": "\n".join(_setup(served, python, programs)) + "\n",
        "run": "\n".join(_run(served, programs)) + "\n",
    }


def disk_gib(served: Served) -> int:
    """Of a replica: the system with drivers, vLLM, the model."""
    return max(256, 128 + served.volume_gib)


def proxy_settings(requests_per_minute: float = 600) -> str:
    """What the proxy on each replica is told; the limit holds for each client and replica."""
    settings: Mapping[str, Any] = {
        "to": f"http://127.0.0.1:{_BEHIND}/v1", "host": "0.0.0.0", "port": PORT, "balanced": True,
        "requests_per_minute": requests_per_minute,
    }  # fmt: skip
    return json.dumps(settings, indent=1) + "\n"


def _setup(served: Served, python: str, programs: str) -> Iterator[str]:
    yield "set -e"
    if not python:
        yield "uv=~/.local/bin/uv # SkyPilot's own"
        yield "$uv venv --allow-existing --python 3.12 ~/vllm"
        yield f"$uv pip install --python ~/vllm/bin/python vllm=={VLLM} {' '.join(PACKAGES)}"
    if served.hub_base:
        place = served.folders[-1].place
        yield f'sudo mkdir -p {place} && sudo chown "$(id -u)" {place}'
        yield f"{programs}/hf download {shlex.quote(served.hub_base)} --local-dir {place}"


def _run(served: Served, programs: str) -> Iterator[str]:
    yield "set -e"
    yield f': "${{{VARIABLE}:?a service without keys would let nobody in}}"'
    for folder in served.folders:
        if folder.checksums:
            yield f"(cd {folder.place} && sha256sum --check --quiet {_FILES}/{folder.sums_file})"
    yield "export HF_HUB_OFFLINE=1 VLLM_NO_USAGE_STATS=1"
    yield f'{KEY}="$({programs}/python -c \'import secrets; print(secrets.token_urlsafe(32))\')"'
    address = ("--host", "127.0.0.1", "--port", str(_BEHIND))
    words = shell_lines((*served.model_arguments, *address, *served.flags.arguments))
    yield f"{KEY}=${KEY} {programs}/vllm serve {words} & vllm=$!"
    yield f"{SERVER_KEY_VARIABLE}=${KEY} {programs}/python {_FILES}/{ARCHIVE} {_FILES}/{SETTINGS} & proxy=$!"
    yield "while kill -0 $vllm && kill -0 $proxy; do sleep 1; done 2> /dev/null # one is of no use without the other"
    yield "kill $vllm $proxy 2> /dev/null || true"
    yield "exit 1"


def _order(key: str) -> int:
    return ("name", "service", "resources", "envs", "secrets", "file_mounts", "setup", "run").index(key)
