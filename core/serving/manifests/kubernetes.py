"""Plain Kubernetes: Deployment, Service, NetworkPolicy and what they need."""

from __future__ import annotations

from typing import Any

from core.serving.manifests.container import KEY
from core.serving.manifests.pod import CLIENT, checksums, claim_name, labels, network_policy, pod, secret
from core.serving.manifests.served import PORT, Served
from core.serving.manifests.text import yaml_text
from core.serving.manifests.versions import VLLM


def kubernetes(served: Served) -> str:
    """The documents as YAML. Weights come from a volume claim, the key from a Secret; neither is made here."""
    selector = labels(served)
    meta = {"name": served.resource, "labels": selector}
    # One server's volume may be bound to its node, and a spare GPU for a second server is rarely there.
    strategy = (
        {"type": "Recreate"}
        if served.replicas == 1
        else {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}}
    )
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": meta,
        "spec": {
            "replicas": served.replicas,
            "strategy": strategy,
            "selector": {"matchLabels": selector},
            "template": {"metadata": {"labels": selector}, "spec": pod(served)},
        },
    }
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": meta,
        "spec": {
            "type": "ClusterIP",
            "selector": selector,
            "ports": [{"name": "http", "port": PORT, "targetPort": "http"}],
        },
    }
    documents: list[dict[str, Any]] = [checksums(served), deployment, service, network_policy(served, selector)]
    if served.replicas > 1:
        documents.append(_disruption_budget(meta, selector))
    label = ", ".join(f"{name}={value}" for name, value in CLIENT.items())
    comment = (
        f"Serves {served.name} with vLLM {VLLM}, at http://{served.resource}:{PORT}/v1 for pods of this namespace labelled {label}.\n"
        f"Needs claim {claim_name(served)} with the weights (kubernetes-storage.yaml) and a Secret with the key:\n"
        f"  {secret_command(served)}"
    )
    return yaml_text(comment, documents)


def secret_command(served: Served) -> str:
    """Makes the Secret from the environment; the key shows in no file and in no list of processes."""
    name, key = secret(served)["name"], secret(served)["key"]
    return f'printf %s "${KEY}" | kubectl create secret generic {name} --from-file={key}=/dev/stdin'


def _disruption_budget(meta: dict[str, Any], selector: dict[str, str]) -> dict[str, Any]:
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": meta,
        "spec": {"maxUnavailable": 1, "selector": {"matchLabels": selector}},
    }
