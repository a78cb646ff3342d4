"""The docker script and the compose file, by the programs that read them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from core.serving.manifests.folder import write_files
from core.serving.manifests.versions import IMAGE
from tests.rigs.docker_engine import docker_engine
from tests.rigs.served_models import made, made_adapter

needs_docker = pytest.mark.skipif(shutil.which("docker") is None, reason="the docker client is not installed")
KEY = "canary-77c1"
SHELLCHECK, COMPOSE = (str(Path(sys.executable).with_name(name)) for name in ("shellcheck", "docker-compose"))


@pytest.fixture
def base(tmp_path) -> Path:
    folder = tmp_path / "the base"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"max_position_embeddings": 2048}))
    (folder / "model.safetensors").write_bytes(b"base")
    return folder


@pytest.fixture(params=["whole", "adapter"])
def served(request, tmp_path, base):
    model = made(tmp_path) if request.param == "whole" else made_adapter(tmp_path, str(base))
    write_files(model, tmp_path / "deploy")
    return model


def run(folder: Path, key: str | None = KEY, **environment: str) -> subprocess.CompletedProcess[str]:
    variables = {"PATH": os.environ["PATH"], "HOME": str(folder), **environment}
    if key is not None:
        variables["VLLM_API_KEY"] = key
    return subprocess.run(
        ["sh", str(folder / "deploy" / "docker.sh")], capture_output=True, text=True, env=variables, check=False
    )


@needs_docker
def test_the_docker_client_understands_it_as_meant(tmp_path, served):
    with docker_engine() as engine:
        done = run(tmp_path, DOCKER_HOST=engine.address)
    assert done.returncode == 0, done.stderr
    ((name, asked),) = engine.created
    assert (name, engine.started) == ("calmtune-tuned", ["c0ffee"])
    host = asked["HostConfig"]
    assert asked["Image"] == IMAGE
    assert (asked["Entrypoint"], asked["Cmd"]) == (["vllm"], ["serve", *served.arguments])
    assert host["PortBindings"] == {"8000/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8000"}]}
    assert [(one["Source"], one["Target"], one["ReadOnly"]) for one in host["Mounts"]] == [
        (str(folder.here), folder.place, True) for folder in served.folders
    ]
    (gpus,) = host["DeviceRequests"]
    assert (gpus["Count"], gpus["Capabilities"]) == (1, [["gpu"]])
    assert host["ReadonlyRootfs"]
    assert host["CapDrop"] == ["ALL"]
    assert host["SecurityOpt"] == ["no-new-privileges"]
    assert host["Tmpfs"] == {"/tmp": "exec,mode=1777"}
    assert host["ShmSize"] == 8 << 30
    assert host["RestartPolicy"]["Name"] == "unless-stopped"
    assert asked["User"] == f"{os.getuid()}:{os.getgid()}"
    assert f"VLLM_API_KEY={KEY}" in asked["Env"]
    assert "HF_HUB_OFFLINE=1" in asked["Env"]
    assert asked["Healthcheck"]["Test"][0] == "CMD-SHELL"
    assert asked["Healthcheck"]["StartPeriod"] == 30 * 60 * 10**9


@needs_docker
def test_the_health_check_is_a_program_that_runs(tmp_path, served):
    with docker_engine() as engine:
        run(tmp_path, DOCKER_HOST=engine.address)
        command = engine.created[0][1]["Healthcheck"]["Test"][1]
        port = engine.address.rpartition(":")[2]
        here = command.replace("127.0.0.1:8000", f"127.0.0.1:{port}")
        assert subprocess.run(["sh", "-c", here], check=False).returncode == 0
    assert subprocess.run(["sh", "-c", here], capture_output=True, check=False).returncode == 1


def test_without_a_key_nothing_is_started(tmp_path, served):
    for key in (None, ""):
        done = run(tmp_path, key)
        assert done.returncode != 0
        assert "VLLM_API_KEY: choose a key first" in done.stderr


def test_other_weights_are_not_served(tmp_path, served):
    name = next(iter(served.folders[-1].checksums))
    (served.folders[-1].here / name).write_bytes(b"others")
    done = run(tmp_path)
    assert done.returncode != 0
    assert f"{name}: FAILED" in done.stdout


def test_a_base_model_on_the_hub_is_downloaded_and_then_checked(tmp_path):
    """With a program in docker's place that does what the download does."""
    write_files(made_adapter(tmp_path, "someone/base"), tmp_path / "deploy")
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "docker").write_text(f'#!/bin/sh\necho "$@"\ntouch "{tmp_path}/deploy/base/model.safetensors"\n')
    (programs / "docker").chmod(0o755)
    done = run(tmp_path, PATH=f"{programs}:{os.environ['PATH']}")
    assert f"--entrypoint hf {IMAGE} download someone/base --local-dir /base" in done.stdout
    assert "model.safetensors: FAILED" in done.stdout, "what came is compared with what the adapter was trained on"
    assert "serve" not in done.stdout
    assert done.returncode != 0


def test_shells_find_no_fault(tmp_path, served):
    script = tmp_path / "deploy" / "docker.sh"
    assert os.access(script, os.X_OK)
    for check in (["sh", "-n"], ["bash", "-n"], [SHELLCHECK, "--exclude=SC2016"]):  # a path may hold a dollar
        done = subprocess.run([*check, str(script)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def compose_config(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """What docker compose says of compose.yaml, without an engine."""
    variables = {"PATH": os.environ["PATH"], "HOME": str(folder), **environment}
    return subprocess.run(
        [COMPOSE, "config"], cwd=folder / "deploy", capture_output=True, text=True, check=False, env=variables
    )


def composed(folder: Path, **environment: str) -> dict[str, Any]:
    """Services as docker compose understands them, with variables replaced."""
    done = compose_config(folder, **environment)
    assert done.returncode == 0, done.stderr
    return yaml.safe_load(done.stdout)["services"]


def test_compose_reads_it_as_meant(tmp_path, served):
    services = composed(tmp_path, VLLM_API_KEY=KEY)
    model, weights = services["model"], services["weights"]
    assert model["image"] == weights["image"] == IMAGE
    assert model["entrypoint"] + model["command"] == ["vllm", "serve", *served.arguments]
    assert model["environment"]["VLLM_API_KEY"] == KEY
    assert [(port["host_ip"], port["published"]) for port in model["ports"]] == [("127.0.0.1", "8000")]
    assert model["depends_on"]["weights"]["condition"] == "service_completed_successfully"
    assert model["deploy"]["resources"]["reservations"]["devices"][0]["capabilities"] == ["gpu"]
    for service in (model, weights):
        assert service["user"] == "1000:1000"
        assert service["read_only"]
        assert service["cap_drop"] == ["ALL"]
        sources = [volume["source"].replace("$$", "$") for volume in service["volumes"]]
        assert sources[: len(served.folders)] == [str(folder.here) for folder in served.folders]
        assert all(volume["read_only"] for volume in service["volumes"])
    assert composed(tmp_path, VLLM_API_KEY=KEY, SERVER_USER="5:6")["model"]["user"] == "5:6"


def test_compose_finds_what_it_does_not_know(tmp_path, served):
    path = tmp_path / "deploy" / "compose.yaml"
    path.write_text(path.read_text().replace("cap_drop:", "cap_drops:"))
    assert "cap_drops" in compose_config(tmp_path, VLLM_API_KEY=KEY).stderr


def test_compose_without_a_key_starts_nothing(tmp_path, served):
    done = compose_config(tmp_path)
    assert done.returncode != 0
    assert "choose a key first" in done.stderr


def test_compose_reads_the_key_from_a_file_beside_it(tmp_path, served):
    (tmp_path / "deploy" / ".env").write_text(f"VLLM_API_KEY={KEY}\n")
    assert composed(tmp_path)["model"]["environment"]["VLLM_API_KEY"] == KEY
