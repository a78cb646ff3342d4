"""What the files for Kubernetes, KServe, production-stack and SkyServe say, held against the schemas of those who read them."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import Any

import kubernetes_validate
import pytest
import yaml

from core.serving.manifests.autoscaling import autoscaling
from core.serving.manifests.folder import write_files
from core.serving.manifests.kserve import kserve
from core.serving.manifests.kubernetes import kubernetes, secret_command
from core.serving.manifests.production_stack import production_stack
from core.serving.manifests.skyserve import skyserve
from core.serving.manifests.storage import storage
from core.serving.manifests.versions import IMAGE, VLLM
from tests.rigs.kserve_models import wrong
from tests.rigs.served_models import adapter, made, made_adapter, whole

MODELS = {
    "whole": whole(),
    "adapter": adapter(),
    "three": whole(name="My_Model", replicas=3, gpus=4, gigabytes=145),
}
VERSIONS = ("1.31", "1.34", "1.37")
CUSTOM = {"InferenceService", "PodMonitor", "ScaledObject"}


@pytest.fixture(params=list(MODELS))
def served(request):
    return MODELS[request.param]


def documents(text: str) -> dict[str, dict[str, Any]]:
    """By kind."""
    return {document["kind"]: document for document in yaml.safe_load_all(text)}


def pods(served) -> dict[str, dict[str, Any]]:
    """All pod specifications, by file."""
    return {
        "kubernetes": documents(kubernetes(served))["Deployment"]["spec"]["template"]["spec"],
        "kserve": documents(kserve(served))["InferenceService"]["spec"]["predictor"],
        "storage": documents(storage(served))["Pod"]["spec"],
    }


@pytest.mark.parametrize("version", VERSIONS)
def test_kubernetes_knows_every_field(served, version):
    found = [
        document
        for write in (storage, kubernetes, autoscaling, kserve)
        for document in yaml.safe_load_all(write(served))
        if document["kind"] not in CUSTOM
    ]
    assert len(found) >= 8
    for document in found:
        kubernetes_validate.validate(document, version, strict=True)


def test_a_field_that_kubernetes_does_not_know_would_be_found(served):
    document = documents(kubernetes(served))["Deployment"]
    document["spec"]["template"]["spec"]["containers"][0]["readynessProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(document, VERSIONS[-1], strict=True)


def test_keda_and_the_prometheus_operator_know_every_field(served):
    from cloudcoil.models.keda.v1alpha1 import ScaledObject
    from cloudcoil.models.prometheus_operator.v1 import PodMonitor

    found = documents(autoscaling(served))
    for model, kind in ((ScaledObject, "ScaledObject"), (PodMonitor, "PodMonitor")):
        read = model.model_validate(found[kind])
        assert read.model_dump(by_alias=True, exclude_unset=True, mode="json") == found[kind]


def test_kserve_knows_every_field(served):
    service = documents(kserve(served))["InferenceService"]
    assert wrong(service, "V1beta1InferenceService") == []
    service["spec"]["predictor"]["minReplica"] = 1
    assert wrong(service, "V1beta1InferenceService") == ["V1beta1PredictorSpec has no minReplica"]


def test_pods_meet_the_restricted_security_standard(served):
    """https://kubernetes.io/docs/concepts/security/pod-security-standards/, and a root file system nobody writes to."""
    for pod in pods(served).values():
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] > 0
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
        assert all(
            set(volume) <= {"name", "persistentVolumeClaim", "emptyDir", "configMap"} for volume in pod["volumes"]
        )
        for container in [*pod.get("initContainers", []), *pod["containers"]]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
                "readOnlyRootFilesystem": True,
            }


def test_what_a_pod_mounts_it_has(served):
    for pod in pods(served).values():
        containers = [*pod.get("initContainers", []), *pod["containers"]]
        mounted = {mount["name"] for container in containers for mount in container["volumeMounts"]}
        assert mounted == {volume["name"] for volume in pod["volumes"]}


def test_the_files_name_one_another(served):
    found, claim = documents(kubernetes(served)), documents(storage(served))["PersistentVolumeClaim"]
    (secret,) = (entry["valueFrom"]["secretKeyRef"] for entry in container_of(served)["env"] if "valueFrom" in entry)
    assert f"secret generic {secret['name']} --from-file={secret['key']}=" in secret_command(served)
    volumes = {volume["name"]: volume for volume in pods(served)["kubernetes"]["volumes"]}
    assert volumes["models"]["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
    assert volumes["checksums"]["configMap"]["name"] == found["ConfigMap"]["metadata"]["name"]
    labels = found["Deployment"]["spec"]["template"]["metadata"]["labels"]
    selectors = [
        found["Deployment"]["spec"]["selector"]["matchLabels"],
        found["Service"]["spec"]["selector"],
        found["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"],
        documents(autoscaling(served))["PodMonitor"]["spec"]["selector"]["matchLabels"],
    ]
    assert all(selector == labels for selector in selectors)
    target = documents(autoscaling(served))["ScaledObject"]["spec"]["scaleTargetRef"]["name"]
    assert target == found["Deployment"]["metadata"]["name"]
    engine = yaml.safe_load(production_stack(served))["servingEngineSpec"]
    assert engine["vllmApiKey"] == {"secretName": secret["name"], "secretKey": secret["key"]}
    assert volumes["models"] in engine["modelSpec"][0]["extraVolumes"]


def container_of(served) -> dict[str, Any]:
    (container,) = pods(served)["kubernetes"]["containers"]
    return container


def test_only_clients_reach_the_server_and_it_reaches_nobody(served):
    policy = documents(kubernetes(served))["NetworkPolicy"]["spec"]
    assert policy["egress"] == []
    assert policy["ingress"][0]["from"] == [{"podSelector": {"matchLabels": {"calmtune.io/client": "true"}}}]


def test_several_servers_have_a_budget_for_disruptions_and_a_volume_all_can_mount():
    one, three = MODELS["whole"], MODELS["three"]
    assert "PodDisruptionBudget" not in documents(kubernetes(one))
    assert documents(kubernetes(three))["PodDisruptionBudget"]["spec"]["maxUnavailable"] == 1
    modes = [documents(storage(each))["PersistentVolumeClaim"]["spec"]["accessModes"] for each in (one, three)]
    assert modes == [["ReadWriteOnce"], ["ReadWriteMany"]]
    assert documents(kubernetes(one))["Deployment"]["spec"]["strategy"] == {"type": "Recreate"}


def test_everyone_serves_the_same(served):
    arguments = container_of(served)["args"]
    assert container_of(served)["image"] == IMAGE
    assert pods(served)["kserve"]["containers"][0]["args"] == arguments
    engine = yaml.safe_load(production_stack(served))["servingEngineSpec"]["modelSpec"][0]
    assert f"{engine['repository']}:{engine['tag']}" == IMAGE
    address = ["--host", "0.0.0.0", "--port", "8000"]
    at = arguments.index("--host")
    assert [engine["modelURL"], *engine["vllmConfig"]["extraArgs"]] == arguments[:at] + arguments[at + len(address) :]
    task = yaml.safe_load(skyserve(served))
    assert f"vllm=={VLLM}" in task["setup"]
    behind = ["--host", "127.0.0.1", "--port", "8001"]
    assert task["run"].replace("\\\n", "").split("serve ")[1].split(" &")[0].split() == [*arguments[:at], *behind, *arguments[at + 4 :]]


def test_an_adapter_is_served_on_its_base_from_the_volume():
    arguments = container_of(adapter())["args"]
    assert arguments[0] == "/models/tuned/base"
    assert arguments[1:6] == ["--enable-lora", "--max-lora-rank", "32", "--lora-modules", "tuned=/models/tuned/model"]


@pytest.fixture(params=["whole", "adapter"])
def on_disk(request, tmp_path):
    if request.param == "whole":
        return made(tmp_path)
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "model.safetensors").write_bytes(b"base")
    return made_adapter(tmp_path, str(tmp_path / "base"))


def test_the_check_before_the_start_lets_only_these_weights_pass(on_disk, tmp_path):
    """The command of the init container, with the container's folders moved below one of this machine."""
    pod = pods(on_disk)["kubernetes"]
    (check,) = pod["initContainers"]
    root = tmp_path / "root"
    for folder in on_disk.folders:
        shutil.copytree(folder.here, root / folder.place.lstrip("/"))
    (root / "checksums").mkdir()
    for name, text in documents(kubernetes(on_disk))["ConfigMap"]["data"].items():
        (root / "checksums" / name).write_text(text)
    program = check["command"][2].replace(" /", f" {root}/")

    def passes() -> bool:
        return subprocess.run([*check["command"][:2], program], capture_output=True, check=False).returncode == 0

    assert passes()
    for folder in on_disk.folders:
        for name in folder.checksums:
            path = root / folder.place.lstrip("/") / name
            content = path.read_bytes()
            path.write_bytes(content[:-1])
            assert not passes()
            path.unlink()
            assert not passes()
            path.write_bytes(content)
    assert passes()


def test_gpus_by_the_size_of_the_model():
    def accelerators(served) -> list[str]:
        return [one["accelerators"] for one in yaml.safe_load(skyserve(served))["resources"]["any_of"]]

    assert accelerators(whole(gigabytes=3))[0] == "L4:1"
    assert accelerators(whole()) == ["L4:1", "A10G:1", "A100:1", "L40S:1", "A100-80GB:1", "H100:1"]
    assert accelerators(whole(gigabytes=64)) == ["A100-80GB:1", "H100:1"]
    assert accelerators(whole(gigabytes=145, gpus=4))[0] == "L40S:4"
    assert accelerators(whole(gigabytes=1300, gpus=8)) == ["H200:8"]


def test_the_readme_names_every_file_and_every_command_is_whole(tmp_path, served):
    write_files(served, tmp_path)
    text = (tmp_path / "README.md").read_text()
    for path in tmp_path.iterdir():
        assert path.name == "README.md" or f"| `{path.name}{'/' * path.is_dir()}` |" in text
    commands = "\n".join(line[4:] for line in text.splitlines() if line.startswith("    "))
    assert subprocess.run(["bash", "-n"], input=commands, text=True, capture_output=True, check=False).returncode == 0


def test_the_key_is_in_no_file(tmp_path, served, monkeypatch):
    for name in ("VLLM_API_KEY", "HOSTED_VLLM_API_KEY", "HF_TOKEN"):
        monkeypatch.setenv(name, "canary-5b77e2")
    write_files(served, tmp_path)
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and b"canary" in path.read_bytes()]
    assert not [document for document in yaml.safe_load_all(kubernetes(served)) if document["kind"] == "Secret"], (
        "one that is empty would let everybody in"
    )


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
def test_kubectl_makes_the_secret_from_the_environment(tmp_path):
    command = f"{secret_command(whole())} --dry-run=client -o yaml"
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "VLLM_API_KEY": "canary"}
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    made = yaml.safe_load(done.stdout)
    assert made["metadata"]["name"] == "calmtune-tuned-key"
    assert made["data"] == {"key": "Y2FuYXJ5"}


def test_prometheus_is_asked_for_the_queue_of_these_pods_alone():
    (trigger,) = documents(autoscaling(whole()))["ScaledObject"]["spec"]["triggers"]
    assert trigger["metadata"]["query"] == 'sum(vllm:num_requests_waiting{pod=~"calmtune-tuned-.+"})'
