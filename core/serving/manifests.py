"""Files to take a model elsewhere: a docker command and a Kubernetes manifest, with pinned versions."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import yaml

from core.serving.adapter import Adapter, vllm_model

VLLM_VERSION = "0.33.0"
IMAGE = f"vllm/vllm-openai:v{VLLM_VERSION}"
PORT = 8000
_USER = 1000


def docker_command(model: Path, served_name: str, adapter: Adapter | None = None) -> str:
    """A shell command that serves the model with vLLM on one GPU, reachable from this machine only.

    The key comes from $VLLM_API_KEY of the calling shell. The base model of an adapter is its owner's folder, or is downloaded from the
    hub once (with $HF_TOKEN where that is set) and kept in a volume.
    """
    place, base = f"/models/{served_name}", ""
    volumes = ["-v", f"{model}:{place}:ro"]
    if adapter is not None:
        folder = Path(adapter.base).expanduser()
        base = f"{place}-base" if folder.is_dir() else adapter.base
        volumes += (
            ["-v", f"{folder.absolute()}:{base}:ro"]
            if folder.is_dir()
            else ["-v", "calmtune-base-models:/root/.cache/huggingface", "-e", "HF_TOKEN"]
        )
    parts = [
        "docker", "run", "--rm", "--runtime", "nvidia", "--gpus", "all", "--ipc=host", "-e", "VLLM_API_KEY",
        *volumes, "-p", f"127.0.0.1:{PORT}:{PORT}", IMAGE,
        "--model", *vllm_model(place, served_name, adapter, base), "--enable-prefix-caching",
    ]  # fmt: skip
    return shlex.join(parts)


def kubernetes(served_name: str, claim: str = "calmtune-models", adapter: Adapter | None = None) -> str:
    """Deployment, Service and NetworkPolicy as YAML; weights come from a volume claim, the key from a Secret.

    Only pods labelled `calmtune.io/client: "true"` reach the server, and it reaches nobody: the base model of an adapter must lie on the
    volume too.
    """
    base = f"{served_name}-base"
    labels = {"app.kubernetes.io/name": "calmtune-model", "app.kubernetes.io/instance": served_name}
    name = f"calmtune-{served_name}".lower().replace("_", "-")[:60]
    probe = {"httpGet": {"path": "/health", "port": PORT}}
    container = {
        "name": "vllm",
        "image": IMAGE,
        "args": [
            "--model",
            *vllm_model(f"/models/{served_name}", served_name, adapter, f"/models/{base}"),
            "--port",
            str(PORT),
            "--enable-prefix-caching",
        ],
        "env": [
            {"name": "VLLM_API_KEY", "valueFrom": {"secretKeyRef": {"name": f"{name}-key", "key": "key"}}},
            {"name": "HF_HUB_OFFLINE", "value": "1"},
            {"name": "HOME", "value": "/tmp"},
        ],
        "ports": [{"containerPort": PORT, "name": "http"}],
        "resources": {
            "requests": {"cpu": "4", "memory": "24Gi", "nvidia.com/gpu": "1"},
            "limits": {"memory": "48Gi", "nvidia.com/gpu": "1"},
        },
        "startupProbe": {**probe, "periodSeconds": 10, "failureThreshold": 90},
        "readinessProbe": {**probe, "periodSeconds": 5},
        "livenessProbe": {**probe, "periodSeconds": 20, "failureThreshold": 3},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        "volumeMounts": [
            {"name": "models", "mountPath": "/models", "readOnly": True},
            {"name": "shared-memory", "mountPath": "/dev/shm"},
            {"name": "scratch", "mountPath": "/tmp"},
        ],
    }
    pod = {
        "securityContext": {"runAsNonRoot": True, "runAsUser": _USER, "fsGroup": _USER},
        "containers": [container],
        "volumes": [
            {"name": "models", "persistentVolumeClaim": {"claimName": claim, "readOnly": True}},
            {"name": "shared-memory", "emptyDir": {"medium": "Memory", "sizeLimit": "8Gi"}},
            {"name": "scratch", "emptyDir": {}},
        ],
    }
    meta = {"name": name, "labels": labels}
    documents: list[dict[str, Any]] = [
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": meta,
            "spec": {
                "replicas": 1,
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": pod},
            },
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": meta,
            "spec": {
                "type": "ClusterIP",
                "selector": labels,
                "ports": [{"name": "http", "port": PORT, "targetPort": "http"}],
            },
        },
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": meta,
            "spec": {
                "podSelector": {"matchLabels": labels},
                "policyTypes": ["Ingress", "Egress"],
                "ingress": [
                    {
                        "from": [{"podSelector": {"matchLabels": {"calmtune.io/client": "true"}}}],
                        "ports": [{"protocol": "TCP", "port": PORT}],
                    }
                ],
                "egress": [],
            },
        },
    ]
    head = (
        f"# Serves {served_name} with vLLM {VLLM_VERSION}. Before applying:\n"
        f"#   copy the {'model' if adapter is None else 'adapter'} folder to /{served_name} on the volume of claim {claim}\n"
        f"{'' if adapter is None else _base_needed(adapter, base)}"
        f'#   kubectl create secret generic {name}-key --from-literal=key="$VLLM_API_KEY"\n'
    )
    return head + yaml.safe_dump_all(documents, sort_keys=False)


def _base_needed(adapter: Adapter, place: str) -> str:
    if Path(adapter.base).expanduser().is_dir():
        return f"#   copy the base model, {adapter.base}, to /{place} there\n"
    return f"#   put the base model there: hf download {shlex.quote(adapter.base)} --local-dir {place}\n"
