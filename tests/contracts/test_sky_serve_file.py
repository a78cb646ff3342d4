"""skyserve.yaml as SkyPilot itself reads it, as far as it does without an account of a cloud: in a child process with a home of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from core.serving.manifests.folder import write_files
from core.serving.manifests.served import Served
from core.serving.manifests.skyserve import disk_gib, service_task
from core.serving.proxy.certificate import make_self_signed
from provisioning.job import Resources
from provisioning.sky_serve import SkyServeTarget
from provisioning.target import Offer
from provisioning.terms import Terms
from tests.rigs.served_models import made, made_adapter

pytestmark = pytest.mark.rig
GPUS = ("L4", "A10G", "A100", "L40S", "A100-80GB", "H100")
READ = """
import json, pathlib, sys
from sky import Task
from sky.serve import serve_utils
from sky.utils import yaml_utils

written = yaml_utils.safe_load(pathlib.Path("skyserve.yaml").read_text())
task = Task.from_yaml_config(written, env_overrides=[("CALMTUNE_PROXY_KEYS", "shop=sha256:00")])
task.validate_name()
task.validate_run()
task.expand_and_validate_file_mounts()
serve_utils.validate_service_task(task, pool=False)
service = task.service
json.dump({
    "probe": [service.readiness_path, service.readiness_headers, service.initial_delay_seconds],
    "replicas": [service.min_replicas, service.max_replicas, service.target_qps_per_replica],
    "ports": sorted({port for one in task.resources for port in one.ports}),
    "gpus": sorted({f"{name}:{count}" for one in task.resources for name, count in one.accelerators.items()}),
    "mounts": task.file_mounts,
    "scripts": [task.setup, task.run],
    "secrets": sorted(task.secrets),
    "envs": task.envs,
    "tls": service.tls_credential and [service.tls_credential.keyfile, service.tls_credential.certfile],
    "asked": sorted({str(getattr(one, name)) for one in task.resources for name in ("infra", "use_spot", "max_hourly_cost")}),
}, sys.stdout)
"""


@pytest.fixture(params=["whole", "adapter on the hub"])
def served(request, tmp_path) -> Served:
    model = made(tmp_path, replicas=2) if request.param == "whole" else made_adapter(tmp_path, "Qwen/Qwen3-8B")
    write_files(model, tmp_path / "deploy")
    return model


@pytest.fixture
def read(served, tmp_path) -> dict[str, Any]:
    return understood(tmp_path)


def understood(tmp_path) -> dict[str, Any]:
    """What SkyPilot makes of deploy/skyserve.yaml."""
    catalog = tmp_path / ".sky" / "catalogs" / "v8" / "common"  # it would be fetched
    catalog.mkdir(parents=True)
    lines = ["AcceleratorName,AcceleratorCount,AcceleratorMemory,Clouds", *(f"{name},1,24GB,AWS" for name in GPUS)]
    (catalog / "accelerators.csv").write_text("\n".join(lines) + "\n")
    environment = {**os.environ, "HOME": str(tmp_path), "SKYPILOT_DISABLE_USAGE_COLLECTION": "1"}
    done = subprocess.run(
        [sys.executable, "-c", READ],
        cwd=tmp_path / "deploy",
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_skypilot_takes_it_as_a_service(served, read, tmp_path):
    assert read["probe"] == ["/health", None, 1800], "no key in a probe"
    assert read["replicas"] == [served.replicas, 4 * served.replicas, 4]
    assert read["ports"] == ["8000"]
    large = GPUS[2:] if served.hub_base else GPUS  # 8 billion parameters and four requests of 8,192 tokens take 25 GB
    assert read["gpus"] == sorted(f"{name}:1" for name in large)
    for folder in served.folders:
        assert folder.here is None or read["mounts"][folder.place] == str(folder.here)
    needed = {"proxy.pyz", "proxy.json", *(folder.sums_file for folder in served.folders if folder.checksums)}
    assert {path.name for path in Path(tmp_path / "deploy", read["mounts"]["/calmtune"]).iterdir()} == needed
    assert read["envs"]["CALMTUNE_PROXY_KEYS"] == "shop=sha256:00"
    assert read["secrets"] == (["HF_TOKEN"] if served.hub_base else []), "no key is told to SkyPilot"
    for script in read["scripts"]:
        assert subprocess.run(["bash", "-n"], input=script, text=True, check=False).returncode == 0


def test_skypilot_takes_what_the_deployment_asks_for(tmp_path, monkeypatch):
    model, asked = made(tmp_path, replicas=2), []
    write_files(model, tmp_path / "deploy")
    pair = make_self_signed(tmp_path / "tls", ["models.example.org"])
    offers = [Offer("", 1.0, "", fits=True, gpu_type=name, gpus=1) for name in GPUS]
    monkeypatch.setattr("provisioning.sky_offers.offers", lambda *_: offers)
    monkeypatch.setattr("provisioning.serve_sdk.services", list)
    monkeypatch.setattr("provisioning.serve_sdk.up", lambda name, task, say, note: asked.append(task))
    task = service_task(model, str(tmp_path / "deploy"))
    task["service"]["tls"] = {"keyfile": str(pair.key), "certfile": str(pair.certificate)}
    task["envs"] = {"CALMTUNE_PROXY_KEYS": None}
    terms = Terms(GPUS, spot=True, max_usd_per_hour=9.5)
    SkyServeTarget("aws/us-east-1", "scope", lambda: terms).serve("job", task, Resources(gpus=1, disk_gb=disk_gib(model)))
    (tmp_path / "deploy" / "skyserve.yaml").write_text(yaml.safe_dump(asked[0]))
    read = understood(tmp_path)
    assert read["tls"] == [str(pair.key), str(pair.certificate)]
    assert read["replicas"] == [2, 8, 4]
    assert (read["ports"], read["gpus"], read["secrets"]) == (["8000"], sorted(f"{name}:1" for name in GPUS), [])
    assert {"9.5", "True"} < set(read["asked"])
