"""What the files are for and in which order to use them."""

from __future__ import annotations

import shlex
from collections.abc import Mapping

from core.serving.connect import KEY_VARIABLE
from core.serving.manifests.container import KEY
from core.serving.manifests.kubernetes import secret_command
from core.serving.manifests.pod import CLIENT
from core.serving.manifests.served import PORT, Served
from core.serving.manifests.storage import copying_pod
from core.serving.manifests.versions import VLLM
from core.serving.proxy.keys import VARIABLE


def readme(served: Served, purposes: Mapping[str, str]) -> str:
    """README.md of the folder; `purposes` has a sentence for each file."""
    table = "\n".join(f"| `{name}` | {purpose} |" for name, purpose in purposes.items())
    label = ",".join(f"{name}={value}" for name, value in CLIENT.items())
    return f"""# Serving {served.name} elsewhere

Ways to start vLLM {VLLM} on {_gpus(served.flags.gpus)} of about {served.gpu_gb} GB or more: take this folder along and choose one.

| File | What for |
|---|---|
{table}

Whoever sends requests shows a key, which is in none of the files. Make one first, and keep it for the assistant (`{KEY_VARIABLE}`):

    export {KEY}="$(openssl rand -hex 32)"

{_folders(served)}

## One machine with docker

    sh docker.sh                     # or: docker compose up --detach
    curl http://127.0.0.1:{PORT}/v1/models -H "Authorization: Bearer ${KEY}"

## A Kubernetes cluster

First the key and the weights, whichever of the three ways follows:

    {secret_command(served)}
    kubectl apply -f kubernetes-storage.yaml
    kubectl wait --for=condition=Ready --timeout=10m pod/{copying_pod(served)}
{_copied(served)}
    kubectl delete pod {copying_pod(served)}

Then one of them:

1. `kubectl apply -f kubernetes.yaml`. Pods that send requests carry the label `{label}`; they ask \
http://{served.resource}:{PORT}/v1. Where requests wait, `kubernetes-autoscaling.yaml` starts more servers.
2. `kubectl apply -f kserve.yaml`; `kubectl get inferenceservice {served.resource}` tells the address.
3. production-stack: the commands stand in `production-stack.yaml`.

The weights are compared with their checksums once they are copied, and by 1 and 2 before each start.

## Rented machines

    export {VARIABLE}="assistant=sha256:$(printf %s "${KEY}" | sha256sum | cut -c -64)"
    sky serve up skyserve.yaml --service-name {served.resource} --env {VARIABLE}

`skyserve.yaml` says what keeps others out.
"""


def _gpus(count: int) -> str:
    return "one NVIDIA GPU" if count == 1 else f"{count} NVIDIA GPUs, each"


def _folders(served: Served) -> str:
    lines = [
        f"* the {'model' if served.adapter is None else 'adapter'}: `{served.folders[0].here}` on the machine that made this"
    ]
    if served.adapter is not None:
        own = served.folders[-1].here
        from_hub = f"`hf download {shlex.quote(served.hub_base)} --local-dir base` here (docker.sh does that by itself)"
        lines.append(f"* the base model: {from_hub if own is None else f'`{own}` there'}")
    return "What is served; change the paths in the files to where you put it:\n\n" + "\n".join(lines)


def _copied(served: Served) -> str:
    pod, lines = copying_pod(served), [f"kubectl exec {copying_pod(served)} -- mkdir -p /models/{served.name}"]
    for folder in served.folders:
        lines.append(f"kubectl cp --retries 10 {shlex.quote(str(folder.here or folder.role))} {pod}:{folder.place}")
        if folder.checksums:
            lines.append(f"kubectl exec -i {pod} -- sh -c 'cd {folder.place} && sha256sum -c' < {folder.sums_file}")
    return "\n".join(f"    {line}" for line in lines)
