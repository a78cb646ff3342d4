"""A SkyServe service: SkyPilot rents machines for replicas, and puts a load balancer before them."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from core.serving.manifests.container import HEALTH, KEY, START_MINUTES
from core.serving.manifests.served import PORT, Served
from core.serving.manifests.text import shell_lines, yaml_text
from core.serving.manifests.versions import VLLM

_GPUS = {"L4": 24, "A10G": 24, "A100": 40, "L40S": 48, "A100-80GB": 80, "H100": 80}
"""GPUs by SkyPilot's names and their memory in GB, each of which computes bfloat16."""
_SUMS = "/checksums"
_MOST = 4
"""Times as many replicas as without load."""
_REQUESTS = 4
"""A second, of which one replica is thought to be capable; measure yours."""


def skyserve(served: Served) -> str:
    """The YAML of `sky serve up`. The key is given on the way up; weights travel through a bucket of the cloud's."""
    fitting = [name for name, size in _GPUS.items() if size >= served.gpu_gb]
    any_of = [{"accelerators": f"{name}:{served.flags.gpus}"} for name in fitting or ["H200"]]
    mounts = {folder.place: str(folder.here) for folder in served.folders if folder.here is not None}
    sums = {f"{_SUMS}/{folder.sums_file}": f"./{folder.sums_file}" for folder in served.folders if folder.checksums}
    task = {
        "name": served.resource,
        "service": {
            "readiness_probe": {"path": HEALTH, "initial_delay_seconds": 60 * START_MINUTES},
            "replica_policy": {
                "min_replicas": served.replicas,
                "max_replicas": _MOST * served.replicas,
                "target_qps_per_replica": _REQUESTS,
            },
        },
        "resources": {
            "any_of": any_of,
            "cpus": "4+",
            "memory": f"{served.memory_gib}+",
            "disk_size": 256,
            "ports": PORT,
        },
        "secrets": {KEY: None, **({"HF_TOKEN": ""} if served.hub_base else {})},
        "file_mounts": {**mounts, **sums},
        "setup": "\n".join(_setup(served)) + "\n",
        "run": "\n".join(_run(served)) + "\n",
    }
    comment = (
        f"Serves {served.name} with vLLM {VLLM} on rented machines, at the address `sky serve status` shows: everybody who has it and the\n"
        "key gets in, and without `tls` in `service` the key travels unencrypted. SkyPilot keeps it with the service. In this folder:\n"
        f"  sky serve up skyserve.yaml --service-name {served.resource} --secret {KEY}"
    )
    return yaml_text(comment, [task])


def _setup(served: Served) -> Iterator[str]:
    yield "set -e"
    yield "uv=~/.local/bin/uv # SkyPilot's own"
    yield "$uv venv --allow-existing --python 3.12 ~/vllm"
    yield f"$uv pip install --python ~/vllm/bin/python vllm=={VLLM}"
    if served.hub_base:
        place = served.folders[-1].place
        yield f'sudo mkdir -p {place} && sudo chown "$(id -u)" {place}'
        yield f"~/vllm/bin/hf download {shlex.quote(served.hub_base)} --local-dir {place}"


def _run(served: Served) -> Iterator[str]:
    yield "set -e"
    yield f': "${{{KEY}:?a server without a key would let everybody in}}"'
    for folder in served.folders:
        if folder.checksums:
            yield f"(cd {folder.place} && sha256sum --check --quiet {_SUMS}/{folder.sums_file})"
    yield "export HF_HUB_OFFLINE=1 VLLM_NO_USAGE_STATS=1"
    yield f"exec ~/vllm/bin/vllm serve {shell_lines(served.arguments)}"
