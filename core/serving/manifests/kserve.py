"""A KServe InferenceService around the same pod."""

from __future__ import annotations

from core.serving.manifests.pod import checksums, claim_name, labels, network_policy, pod, secret
from core.serving.manifests.served import Served
from core.serving.manifests.text import yaml_text
from core.serving.manifests.versions import KSERVE, VLLM


def kserve(served: Served) -> str:
    """ConfigMap, InferenceService and NetworkPolicy as YAML. Mode Standard: Knative takes neither volume claims nor init containers."""
    service = {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {
            "name": served.resource,
            "labels": {**labels(served), "networking.kserve.io/visibility": "cluster-local"},
            "annotations": {
                "serving.kserve.io/deploymentMode": "Standard",
                "serving.kserve.io/autoscalerClass": "none",
            },
        },
        "spec": {
            "predictor": {
                "minReplicas": served.replicas,
                "maxReplicas": served.replicas,
                **pod(served, "kserve-container"),
            }
        },
    }
    policy = network_policy(served, {"serving.kserve.io/inferenceservice": served.resource})
    comment = (
        f"Serves {served.name} with vLLM {VLLM} under KServe {KSERVE} or newer, in place of kubernetes.yaml.\n"
        f"Needs claim {claim_name(served)} and Secret {secret(served)['name']}, see README.md."
    )
    return yaml_text(comment, [checksums(served), service, policy])
