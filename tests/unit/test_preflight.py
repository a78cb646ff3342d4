"""What is said of a machine, from what its nvidia-smi and its system tell."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from provisioning import facts
from provisioning.facts import Facts
from provisioning.job import Resources
from provisioning.preflight import offer_of, preflight

HEADING = "| NVIDIA-SMI 570.10   Driver Version: 570.10   CUDA Version: {cuda} |"
A100 = Facts(
    system="Linux x86_64",
    python=(3, 11, 7),
    venv=True,
    uv=None,
    vllm=None,
    cores=16,
    memory=128_000_000_000,
    disk_free=500_000_000_000,
    gpus=[{"name": "NVIDIA A100-SXM4-80GB", "memory": 80 << 30, "driver": "570.10", "compute": "8.0"}],
    cuda="12.8",
)


@pytest.fixture
def nvidia_smi(tmp_path, monkeypatch):
    """An executable that prints what the real one prints for a query, for -L, and as its heading."""

    def install(rows: str, cuda: str = "12.8", code: int = 0) -> None:
        path = tmp_path / "bin" / "nvidia-smi"
        path.parent.mkdir(exist_ok=True)
        path.write_text(
            f"#!/bin/sh\ncase \"$1\" in --query*) printf '{rows}';; -L) echo 'GPU 0: one';; *) echo '{HEADING.format(cuda=cuda)}';; "
            f"esac\nexit {code}\n"
        )
        path.chmod(0o755)
        monkeypatch.setenv("PATH", f"{path.parent}:/usr/bin:/bin")

    return install


def test_the_gpus_the_driver_and_cuda_are_read_from_nvidia_smi(nvidia_smi, tmp_path):
    nvidia_smi("NVIDIA A100-SXM4-80GB, 81920, 570.10, 8.0, 80000\\nNVIDIA L4, 23034, 570.10, 8.9\\n")
    found = Facts(**facts.facts(tmp_path / "not" / "there"))
    assert [gpu["name"] for gpu in found.gpus] == ["NVIDIA A100-SXM4-80GB", "NVIDIA L4"]
    assert found.gpus[0] == {
        "name": "NVIDIA A100-SXM4-80GB",
        "memory": 81920 << 20,
        "driver": "570.10",
        "compute": "8.0",
        "free": 80000 << 20,
    }
    assert found.cuda == "12.8"
    assert found.disk_free > 0
    assert found.memory > 1e8


def test_memory_that_is_not_told_is_no_mistake(nvidia_smi):
    nvidia_smi("NVIDIA GB10, [N/A], 580.1, 12.1\\n")
    assert facts.gpus() == [{"name": "NVIDIA GB10", "memory": 0, "driver": "580.1", "compute": "12.1", "free": 0}]


def test_an_nvidia_smi_without_driver_means_no_gpu(nvidia_smi):
    nvidia_smi("NVIDIA-SMI has failed because it could not communicate with the NVIDIA driver", code=9)
    assert facts.gpus() == []


def failed(found: Facts, need: Resources | None = None) -> dict[str, str]:
    checks = preflight(found, need) if need else preflight(found)
    return {check.name: check.sentence for check in checks if not check.passed}


def test_a_good_machine_passes_everything():
    assert failed(A100) == {}
    offer = offer_of("ssh:gpu", A100, Resources(gpus=1))
    assert offer.fits
    assert "A100" in offer.reason


@pytest.mark.parametrize(
    ("change", "check", "words"),
    [
        ({"gpus": [], "cuda": None}, "GPU", "none found; 1 needed"),
        ({"gpus": [], "cuda": None}, "driver", "install it"),
        ({"cuda": "12.2"}, "CUDA", "12.8 or newer"),
        ({"cuda": "12.2"}, "vLLM", "CUDA 12.8"),
        ({"disk_free": 5_000_000_000}, "disk", "5 GB free where jobs live, 60 GB are needed"),
        ({"memory": 8_000_000_000}, "memory", "16 GB are needed"),
        ({"venv": False}, "Python", "python3-venv"),
        ({"system": "Darwin arm64"}, "vLLM", "runs on Linux"),
        ({"gpus": [{**A100.gpus[0], "compute": "6.1"}]}, "vLLM", "too old"),
    ],
)
def test_what_is_missing_fails_with_what_to_do(change, check, words):
    found = failed(replace(A100, **change))
    assert words in found[check]


def test_a_machine_without_gpu_fits_what_needs_none():
    plain = replace(A100, gpus=[], cuda=None)
    need = Resources(gpus=0, memory_gb=8, disk_gb=20)
    assert set(failed(plain, need)) == {"vLLM"}
    assert offer_of("ssh:box", plain, need).fits
    refused = offer_of("ssh:box", plain, Resources(gpus=1))
    assert not refused.fits
    assert "1 needed" in refused.reason


def test_two_gpus_are_not_found_in_one(tmp_path: Path):
    assert "2 needed" in failed(A100, Resources(gpus=2))["GPU"]
