"""More servers while requests wait: KEDA asks Prometheus for vLLM's queues. CPU and memory say nothing about a server with a GPU."""

from __future__ import annotations

from typing import Any

from core.serving.manifests.pod import labels, network_policy
from core.serving.manifests.served import Served
from core.serving.manifests.text import yaml_text

_MONITORING = "monitoring"
"""Namespace of Prometheus, as kube-prometheus-stack has it."""
_WAITING = 4
"""Requests in the queue of a server, on average, above which another one is started."""
_MOST = 4
"""Times as many servers as without waiting requests."""


def autoscaling(served: Served) -> str:
    """PodMonitor (Prometheus operator), NetworkPolicy that lets Prometheus in, and ScaledObject (KEDA 2) as YAML."""
    meta = {"name": served.resource, "labels": labels(served)}
    monitor: dict[str, Any] = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PodMonitor",
        "metadata": meta,
        "spec": {
            "selector": {"matchLabels": labels(served)},
            "podMetricsEndpoints": [{"port": "http", "path": "/metrics", "interval": "15s"}],
        },
    }
    prometheus = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": _MONITORING}}}
    policy = network_policy(served, labels(served), prometheus, name=f"{served.resource}-metrics")
    scaled = {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": meta,
        "spec": {
            "scaleTargetRef": {"name": served.resource},
            "minReplicaCount": served.replicas,
            "maxReplicaCount": _MOST * served.replicas,
            "pollingInterval": 15,
            "advanced": {
                "horizontalPodAutoscalerConfig": {"behavior": {"scaleDown": {"stabilizationWindowSeconds": 600}}}
            },
            "triggers": [
                {
                    "type": "prometheus",
                    "metricType": "AverageValue",
                    "metadata": {
                        "serverAddress": f"http://prometheus-operated.{_MONITORING}.svc:9090",
                        "query": f'sum(vllm:num_requests_waiting{{pod=~"{served.resource}-.+"}})',
                        "threshold": str(_WAITING),
                    },
                }
            ],
        },
    }
    comment = (
        f"Optional, after kubernetes.yaml: up to {_MOST * served.replicas} servers while requests wait.\n"
        f"Needs KEDA 2 and the Prometheus operator, here with Prometheus in namespace {_MONITORING}; some Prometheus want a label on what\n"
        "they watch. Several servers on several nodes need a volume that all can mount (ReadWriteMany, or ReadOnlyMany once it is filled)."
    )
    return yaml_text(comment, [monitor, policy, scaled])
