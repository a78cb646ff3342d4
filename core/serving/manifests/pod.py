"""The pod that serves, as plain Kubernetes and KServe take it, within the restricted Pod Security Standard."""

from __future__ import annotations

from typing import Any

from core.serving.manifests.container import (
    ENVIRONMENT,
    HEALTH,
    KEY,
    SHARED_MEMORY_GIB,
    START_MINUTES,
    USER,
    checking_command,
)
from core.serving.manifests.served import PORT, Served
from core.serving.manifests.versions import IMAGE

CLIENT = {"calmtune.io/client": "true"}
"""Label of the pods that may send requests."""
POD_SECURITY = {
    "runAsNonRoot": True,
    "runAsUser": USER,
    "runAsGroup": USER,
    "fsGroup": USER,
    "fsGroupChangePolicy": "OnRootMismatch",
    "seccompProfile": {"type": "RuntimeDefault"},
}
CONTAINER_SECURITY = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "readOnlyRootFilesystem": True,
}
_SUMS = "/checksums"


def labels(served: Served) -> dict[str, str]:
    return {"app.kubernetes.io/name": "calmtune-model", "app.kubernetes.io/instance": served.resource}


def claim_name(served: Served) -> str:
    """The volume claim with the weights."""
    return f"{served.resource}-weights"


def secret(served: Served) -> dict[str, str]:
    """Name and key of the Secret with the key for requests. It is made by hand: an empty one would let everybody in."""
    return {"name": f"{served.resource}-key", "key": "key"}


def environment(served: Served) -> list[dict[str, Any]]:
    """Of a container that serves."""
    plain = [{"name": name, "value": value} for name, value in ENVIRONMENT.items()]
    return [{"name": KEY, "valueFrom": {"secretKeyRef": secret(served)}}, *plain]


def volumes(served: Served) -> list[dict[str, Any]]:
    """Of a pod that serves."""
    return [
        {"name": "models", "persistentVolumeClaim": {"claimName": claim_name(served), "readOnly": True}},
        {"name": "shared-memory", "emptyDir": {"medium": "Memory", "sizeLimit": f"{SHARED_MEMORY_GIB}Gi"}},
        {"name": "scratch", "emptyDir": {}},
    ]


MODELS_MOUNT = {"name": "models", "mountPath": "/models", "readOnly": True}
MOUNTS = [MODELS_MOUNT, {"name": "shared-memory", "mountPath": "/dev/shm"}, {"name": "scratch", "mountPath": "/tmp"}]


def probes() -> dict[str, Any]:
    """/health needs no key."""
    probe = {"httpGet": {"path": HEALTH, "port": PORT}, "timeoutSeconds": 5}
    return {
        "startupProbe": {**probe, "periodSeconds": 10, "failureThreshold": 6 * START_MINUTES},
        "readinessProbe": {**probe, "periodSeconds": 5, "failureThreshold": 3},
        "livenessProbe": {**probe, "periodSeconds": 20, "failureThreshold": 3},
    }


def pod(served: Served, container: str = "vllm") -> dict[str, Any]:
    """A PodSpec; `container` is the name of the one that serves. The weights are compared with their checksums before it starts."""
    memory = served.memory_gib + SHARED_MEMORY_GIB
    serving = {
        "name": container,
        "image": IMAGE,
        "command": ["vllm", "serve"],
        "args": list(served.arguments),
        "env": environment(served),
        "ports": [{"containerPort": PORT, "name": "http", "protocol": "TCP"}],
        "resources": {
            "requests": {
                "cpu": str(4 * served.flags.gpus),
                "memory": f"{memory}Gi",
                "nvidia.com/gpu": str(served.flags.gpus),
            },
            "limits": {"memory": f"{2 * memory}Gi", "nvidia.com/gpu": str(served.flags.gpus)},
        },
        **probes(),
        "lifecycle": {"preStop": {"exec": {"command": ["sleep", "5"]}}},  # until no new requests are sent here
        "securityContext": CONTAINER_SECURITY,
        "volumeMounts": MOUNTS,
    }
    checking = {
        "name": "weights",
        "image": IMAGE,
        "command": ["sh", "-c", checking_command(served, _SUMS)],
        "resources": {"requests": {"cpu": "1", "memory": "256Mi"}, "limits": {"memory": "1Gi"}},
        "securityContext": CONTAINER_SECURITY,
        "volumeMounts": [MODELS_MOUNT, {"name": "checksums", "mountPath": _SUMS, "readOnly": True}],
    }
    checksums = {"name": "checksums", "configMap": {"name": f"{served.resource}-sha256"}}
    return {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 60,
        "securityContext": POD_SECURITY,
        "initContainers": [checking],
        "containers": [serving],
        "volumes": [*volumes(served), checksums],
    }


def checksums(served: Served) -> dict[str, Any]:
    """The ConfigMap that `pod` compares the weights with."""
    data = {folder.sums_file: folder.sums for folder in served.folders if folder.checksums}
    meta = {"name": f"{served.resource}-sha256", "labels": labels(served)}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data}


def network_policy(
    served: Served, selector: dict[str, str], *sources: dict[str, Any], name: str = ""
) -> dict[str, Any]:
    """Lets `sources` (pods labelled as clients unless said) reach the selected pods, and those nobody: they need nothing."""
    allowed = list(sources) or [{"podSelector": {"matchLabels": CLIENT}}]
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name or served.resource, "labels": labels(served)},
        "spec": {
            "podSelector": {"matchLabels": selector},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [{"from": allowed, "ports": [{"protocol": "TCP", "port": PORT}]}],
            "egress": [],
        },
    }
