"""The folder with everything it takes to serve a model elsewhere."""

from __future__ import annotations

from pathlib import Path

from core.serving.manifests.autoscaling import autoscaling
from core.serving.manifests.compose import compose
from core.serving.manifests.docker import docker_script
from core.serving.manifests.kserve import kserve
from core.serving.manifests.kubernetes import kubernetes
from core.serving.manifests.production_stack import production_stack
from core.serving.manifests.readme import readme
from core.serving.manifests.served import Served
from core.serving.manifests.skyserve import REPLICA, SETTINGS, proxy_settings, skyserve
from core.serving.manifests.storage import storage
from core.serving.proxy.archive import ARCHIVE, proxy_archive

FOLDER = "deploy"
README = "README.md"
_WRITTEN = {
    "docker": ("docker.sh", "a container on one machine", docker_script),
    "compose": ("compose.yaml", "the same with docker compose", compose),
    "kubernetes_storage": ("kubernetes-storage.yaml", "a volume for the weights, and a pod to copy them there", storage),
    "kubernetes": ("kubernetes.yaml", "Kubernetes: Deployment, Service, NetworkPolicy", kubernetes),
    "kubernetes_autoscaling": (
        "kubernetes-autoscaling.yaml", "optional: more servers while requests wait (KEDA, Prometheus)", autoscaling
    ),
    "kserve": ("kserve.yaml", "a KServe InferenceService in place of kubernetes.yaml", kserve),
    "production_stack": (
        "production-stack.yaml", "values for the Helm chart of vLLM's production-stack in place of kubernetes.yaml", production_stack
    ),
    "skyserve": ("skyserve.yaml", "SkyServe: rented machines behind a load balancer", skyserve),
}  # fmt: skip
PURPOSES = {
    README: "in which order to use them",
    **{name: purpose for name, purpose, _ in _WRITTEN.values()},
    f"{REPLICA}/": "for skyserve.yaml: the proxy it puts before vLLM on each machine, its settings, checksums",
    "model.sha256": "checksums of the model's files",
    "base.sha256": "checksums of the base model's weights",
}
"""What each file is for. One that a model does not need is not written."""


def write_files(served: Served, into: Path, requests_per_minute: float = 600) -> dict[str, str]:
    """Write all files into a folder, which is made; returns what they are called in a step's outputs → name in the folder.

    `requests_per_minute` is what each client may ask of a proxy.
    """
    texts = {name: write(served) for name, _, write in _WRITTEN.values()}
    sums = {folder.sums_file: folder.sums for folder in served.folders if folder.checksums}
    texts |= sums
    texts[README] = readme(served, {name: PURPOSES[name] for name in (*texts, f"{REPLICA}/")})
    texts |= {f"{REPLICA}/{name}": text for name, text in sums.items()}
    texts[f"{REPLICA}/{SETTINGS}"] = proxy_settings(requests_per_minute)
    (into / REPLICA).mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (into / name).write_text(text, encoding="utf-8")
    (into / REPLICA / ARCHIVE).write_bytes(proxy_archive())
    (into / _WRITTEN["docker"][0]).chmod(0o755)
    return {"readme": README, **{key: name for key, (name, *_) in _WRITTEN.items()}}
