"""A shell script that serves the model with docker on one machine."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from core.serving.manifests.container import ENVIRONMENT, HEALTH_PROGRAM, KEY, SHARED_MEMORY_GIB, START_MINUTES
from core.serving.manifests.served import PORT, Folder, Served
from core.serving.manifests.text import shell_lines
from core.serving.manifests.versions import IMAGE, VLLM


def docker_script(served: Served) -> str:
    """Checks the weights, then starts a container that docker keeps running, reachable from its machine only.

    The key comes from $VLLM_API_KEY of the calling shell. A base model from the hub is downloaded once, with $HF_TOKEN where that is set.
    """
    run = [
        "exec docker run --detach",
        f"--name {served.resource}",
        "--restart unless-stopped",
        f"--gpus {served.flags.gpus}",
        f"--publish 127.0.0.1:{PORT}:{PORT}",
        f"--env {KEY}",
        *(f"--env {name}={value}" for name, value in ENVIRONMENT.items()),
        *(f'--mount "type=bind,{_source(folder)},target={folder.place},readonly"' for folder in served.folders),
        '--user "$(id -u):$(id -g)"',
        "--read-only",
        "--tmpfs /tmp:exec,mode=1777",
        f"--shm-size {SHARED_MEMORY_GIB}g",
        "--cap-drop ALL",
        "--security-opt no-new-privileges",
        f'--health-cmd "python3 -c \\"{HEALTH_PROGRAM}\\""',
        f"--health-start-period {START_MINUTES}m",
        "--health-interval 30s",
        "--health-timeout 10s",
        "--health-retries 3",
        f"--entrypoint vllm {IMAGE} serve {shell_lines(served.arguments)}",
    ]
    gpus = "an NVIDIA GPU" if served.flags.gpus == 1 else f"{served.flags.gpus} NVIDIA GPUs"
    lines = [
        "#!/bin/sh",
        f"# Serves {served.name} with vLLM {VLLM} on {gpus}, at http://127.0.0.1:{PORT}/v1 of this machine only.",
        "# Needs docker with the NVIDIA Container Toolkit, and a key in the environment:",
        f'#   export {KEY}="$(openssl rand -hex 32)"',
        f"# Log: docker logs -f {served.resource}   End: docker rm -f {served.resource}",
        "set -eu",
        f': "${{{KEY}:?choose a key first and export it}}"',
        f"export {KEY}",
        'here=$(cd "$(dirname "$0")" && pwd)',
        "# Where the folders lie on this machine:",
        *(f"{folder.role}={_here(folder)}" for folder in served.folders),
        *_download(served.hub_base),
        *(
            f'(cd "${folder.role}" && sha256sum --check --quiet "$here/{folder.sums_file}")'
            for folder in served.folders
            if folder.checksums
        ),
        " \\\n  ".join(run),
    ]
    return "\n".join(lines) + "\n"


def _here(folder: Folder) -> str:
    return shlex.quote(str(folder.here)) if folder.here is not None else f'"$here/{folder.role}"'


def _source(folder: Folder) -> str:
    return f'\\"source=${folder.role}\\"'  # in quotes of its own, as a path may hold commas


def _download(name: str) -> Iterator[str]:
    """The base model, once."""
    if name:
        yield 'if [ ! -f "$base/config.json" ]; then'
        yield '  mkdir -p "$base"'
        yield '  docker run --rm --env HF_TOKEN --env HOME=/tmp --user "$(id -u):$(id -g)" \\'
        yield f'    --mount "type=bind,\\"source=$base\\",target=/base" --entrypoint hf {IMAGE} \\'
        yield f"    download {shlex.quote(name)} --local-dir /base"
        yield "fi"
