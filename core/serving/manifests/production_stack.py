"""Values for the Helm chart of vLLM's production-stack (https://github.com/vllm-project/production-stack): a router before servers.

The chart makes the Deployment; it can neither compare checksums nor leave out the token of the service account.
"""

from __future__ import annotations

from core.serving.manifests.container import ENVIRONMENT, HEALTH, SHARED_MEMORY_GIB, START_MINUTES
from core.serving.manifests.pod import CONTAINER_SECURITY, MOUNTS, POD_SECURITY, claim_name, secret, volumes
from core.serving.manifests.served import PORT, Served
from core.serving.manifests.text import yaml_text
from core.serving.manifests.versions import PRODUCTION_STACK, REPOSITORY, TAG, VLLM


def production_stack(served: Served) -> str:
    """values.yaml of chart vllm-stack, with the claim and the Secret of plain Kubernetes."""
    loaded, *named = served.model_arguments
    memory = served.memory_gib + SHARED_MEMORY_GIB
    model = {
        "name": served.resource,
        "repository": REPOSITORY,
        "tag": TAG,
        "modelURL": loaded,
        "replicaCount": served.replicas,
        "requestCPU": 4 * served.flags.gpus,
        "requestMemory": f"{memory}Gi",
        "limitMemory": f"{2 * memory}Gi",
        "requestGPU": served.flags.gpus,
        "vllmConfig": {"extraArgs": [*named, *served.flags.arguments]},
        "env": [{"name": name, "value": value} for name, value in ENVIRONMENT.items()],
        "extraVolumes": volumes(served),
        "extraVolumeMounts": MOUNTS,
    }
    key = secret(served)
    values = {
        "servingEngineSpec": {
            "runtimeClassName": "",
            "containerPort": PORT,
            "vllmApiKey": {"secretName": key["name"], "secretKey": key["key"]},
            "securityContext": POD_SECURITY,
            "containerSecurityContext": CONTAINER_SECURITY,
            "startupProbe": {
                "initialDelaySeconds": 15,
                "periodSeconds": 10,
                "failureThreshold": 6 * START_MINUTES,
                "httpGet": {"path": HEALTH, "port": PORT},
            },
            "modelSpec": [model],
        }
    }
    comment = (
        f"Serves {served.name} with vLLM {VLLM} behind the router of production-stack; values of chart vllm-stack {PRODUCTION_STACK}.\n"
        f"Needs claim {claim_name(served)} and Secret {key['name']}, see README.md.\n"
        "  helm repo add vllm https://vllm-project.github.io/production-stack\n"
        f"  helm install calmtune vllm/vllm-stack --version {PRODUCTION_STACK} --values production-stack.yaml\n"
        "Requests go to http://calmtune-router-service/v1.\n"
        "runtimeClassName is nvidia where that is not the nodes' default runtime."
    )
    return yaml_text(comment, [values])
