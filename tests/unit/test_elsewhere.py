"""Which server a model gets on another machine, and how it is started."""

from __future__ import annotations

from pathlib import Path

from core.serving.elsewhere import plan_elsewhere
from provisioning.facts import Facts

GPU = {"name": "NVIDIA L4", "memory": 24 << 30, "driver": "580.1", "compute": "8.9"}


def machine(*gpus: dict[str, object]) -> Facts:
    return Facts("Linux x86_64", (3, 11, 7), True, None, None, 8, 64 << 30, 500 << 30, gpus, "13.0" if gpus else None)


def test_a_machine_with_a_gpu_gets_vllm_with_a_key_that_is_no_argument():
    plan = plan_elsewhere("ssh:gpu", machine(GPU), 8123, Path("/models/mine"), "calmtune")
    assert plan.engine == "vllm"
    assert plan.command[:5] == ("python3", "environment.py", "vllm.txt", "vllm", "serve")
    assert plan.gpus == 1
    assert plan.endpoint.api_key == plan.secrets["VLLM_API_KEY"]
    assert len(plan.secrets["VLLM_API_KEY"]) > 30
    assert not any(plan.secrets["VLLM_API_KEY"] in word for word in (*plan.command, *plan.environment.values()))
    assert plan.command[plan.command.index("--host") + 1] == "127.0.0.1"
    assert plan.command[plan.command.index("--port") + 1] == "8123"
    assert plan.files["model"] == Path("/models/mine")
    assert plan.files["vllm.txt"].read_text().startswith("#")


def test_a_given_key_is_kept():
    plan = plan_elsewhere("ssh:gpu", machine(GPU), 8123, Path("/m"), "calmtune", key="owner")
    assert plan.secrets == {"VLLM_API_KEY": "owner"}


def test_a_machine_without_a_gpu_gets_transformers():
    plan = plan_elsewhere("ssh:box", machine(), 8123, Path("/m"), "calmtune")
    assert plan.engine == "transformers"
    assert plan.gpus == 0
    assert plan.files["transformers.txt"].is_file()
    assert "no GPU" in plan.reason


def test_what_is_chosen_is_taken_from_the_interpreter_that_is_named():
    plan = plan_elsewhere("ssh:gpu", machine(GPU), 1, Path("/m"), "calmtune", "transformers", "/opt/env/bin/python")
    assert plan.command[:3] == ("/opt/env/bin/transformers", "serve", "model")
    assert set(plan.files) == {"model"}
