"""How places where jobs can run are written."""

from __future__ import annotations

LOCAL = "local"
SSH = "ssh:"
SKY = "sky"
SKYSERVE = "skyserve"
_INFRA = r"(:[A-Za-z0-9][\w.-]*(/[\w.@:-]+){0,2})?"
PLACE_PATTERN = rf"^(local|ssh:[^\s,:]+(:\d+)?|sky{_INFRA})$"
"""How a place is written: "local", "ssh:" and a name of the SSH configuration or user@host:port, or "sky" for the cheapest machine SkyPilot
can rent, with ":" and a cloud, region and zone (sky:aws/us-east-1), a Slurm cluster (sky:slurm/name) or a Kubernetes context behind it."""
SERVING_PATTERN = rf"^(local|ssh:[^\s,:]+(:\d+)?|sky(serve)?{_INFRA})$"
"""The same for models that are served, also on replicas that SkyServe rents ("skyserve", with ":" and where as behind "sky")."""


def cloud_of(infra: str) -> str | None:
    """The cloud of an infra string; None for any."""
    name = infra.partition("/")[0].lower()
    return {"k8s": "kubernetes", "": None}.get(name, name)
