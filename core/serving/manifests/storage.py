"""A volume for the weights in Kubernetes, and a pod to copy them there."""

from __future__ import annotations

from core.serving.manifests.pod import CONTAINER_SECURITY, POD_SECURITY, claim_name, labels
from core.serving.manifests.served import Served
from core.serving.manifests.text import yaml_text
from core.serving.manifests.versions import COPYING_IMAGE


def storage(served: Served) -> str:
    """PersistentVolumeClaim and Pod as YAML; several servers read a volume that several nodes can mount."""
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": claim_name(served), "labels": labels(served)},
        "spec": {
            "accessModes": ["ReadWriteOnce" if served.replicas == 1 else "ReadWriteMany"],
            "resources": {"requests": {"storage": f"{served.volume_gib}Gi"}},
        },
    }
    copying = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": copying_pod(served), "labels": {"app.kubernetes.io/name": "calmtune-copying"}},
        "spec": {
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "restartPolicy": "Never",
            "securityContext": POD_SECURITY,
            "containers": [
                {
                    "name": "copying",
                    "image": COPYING_IMAGE,
                    "command": ["sleep", "86400"],
                    "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"memory": "1Gi"}},
                    "securityContext": CONTAINER_SECURITY,
                    "volumeMounts": [{"name": "models", "mountPath": "/models"}],
                }
            ],
            "volumes": [{"name": "models", "persistentVolumeClaim": {"claimName": claim_name(served)}}],
        },
    }
    comment = (
        "Room for the weights, and a pod to copy them there; README.md has the commands.\n"
        "storageClassName is the cluster's default unless you add one."
    )
    return yaml_text(comment, [claim, copying])


def copying_pod(served: Served) -> str:
    """Name of the pod."""
    return f"{served.resource}-copying"
