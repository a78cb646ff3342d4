"""Is a machine fit for this? A list of checks, each with a sentence, for any screen to show."""

from __future__ import annotations

from dataclasses import dataclass

from provisioning.facts import Facts
from provisioning.job import Resources
from provisioning.target import Offer

VLLM_COMPUTE = (7, 0)
"""Oldest GPU generation that vLLM's kernels are built for (Volta)."""
VLLM_CUDA = (12, 8)
"""Oldest CUDA version of a driver that runs the builds of torch which vLLM and the training need."""
NEED = Resources(gpus=1, memory_gb=16, disk_gb=60)
"""What training and serving a model of 8 billion parameters takes."""


@dataclass(frozen=True)
class Check:
    """One look at a machine."""

    name: str
    passed: bool
    sentence: str
    """What was found, and what to do when it is not enough."""


def preflight(facts: Facts, need: Resources = NEED) -> tuple[Check, ...]:
    """All checks of a machine that was reached, for what a job needs."""
    return (
        _python(facts),
        _gpu(facts, need),
        _driver(facts, need),
        _cuda(facts, need),
        _amount("disk", facts.disk_free, need.disk_gb, "free where jobs live"),
        _amount("memory", facts.memory, need.memory_gb, "in all"),
        _vllm(facts),
    )


def offer_of(name: str, facts: Facts, need: Resources) -> Offer:
    """A machine as an offer; the reason names the first check that does not pass."""
    failed = [check for check in preflight(facts, need) if not check.passed and check.name != "vLLM"]
    gpus = ", ".join(gpu["name"] for gpu in facts.gpus) or f"CPU only: {facts.cores} cores"
    reason = failed[0].sentence if failed else f"{gpus}, {facts.memory / 1e9:.0f} GB memory"
    return Offer(name, 0.0, reason, fits=not failed)


def _python(facts: Facts) -> Check:
    version = ".".join(str(part) for part in facts.python)
    ways = "uv" if facts.uv else "venv" if facts.venv else ""
    if not ways:
        return Check("Python", False, f"Python {version} without venv; install uv, or the package python3-venv")
    return Check("Python", True, f"Python {version}, environments by {ways}")


def _gpu(facts: Facts, need: Resources) -> Check:
    names = ", ".join(f"{gpu['name']} with {gpu['memory'] / 1e9:.0f} GB" for gpu in facts.gpus)
    if len(facts.gpus) >= max(need.gpus, 1):
        return Check("GPU", True, names)
    if not need.gpus:
        return Check("GPU", True, "none, and none is needed")
    return Check("GPU", False, f"{names or 'none found'}; {need.gpus} needed (nvidia-smi must show it)")


def _driver(facts: Facts, need: Resources) -> Check:
    if facts.gpus:
        return Check("driver", True, f"NVIDIA {facts.gpus[0]['driver']}")
    return Check("driver", not need.gpus, "no NVIDIA driver was found" + ("; install it" if need.gpus else ""))


def _cuda(facts: Facts, need: Resources) -> Check:
    if facts.cuda is None:
        return Check("CUDA", not need.gpus, "the driver names no CUDA version")
    passed = _version(facts.cuda) >= VLLM_CUDA or not need.gpus
    hint = "" if passed else f"; {_dotted(VLLM_CUDA)} or newer is needed, update the driver"
    return Check("CUDA", passed, f"the driver runs CUDA {facts.cuda}{hint}")


def _amount(name: str, found: int, needed_gb: float, what: str) -> Check:
    passed = found / 1e9 >= needed_gb
    hint = "" if passed else f", {needed_gb:.0f} GB are needed"
    return Check(name, passed, f"{found / 1e9:.0f} GB {what}{hint}")


def _vllm(facts: Facts) -> Check:
    reasons = []
    if not facts.system.startswith("Linux"):
        reasons.append(f"it runs on Linux, this is {facts.system}")
    if not facts.gpus:
        reasons.append("it needs an NVIDIA GPU")
    for gpu in facts.gpus:
        if gpu["compute"] and _version(gpu["compute"]) < VLLM_COMPUTE:
            reasons.append(
                f"{gpu['name']} is too old (compute capability {gpu['compute']}, {_dotted(VLLM_COMPUTE)} needed)"
            )
    if facts.gpus and (facts.cuda is None or _version(facts.cuda) < VLLM_CUDA):
        reasons.append(f"the driver must run CUDA {_dotted(VLLM_CUDA)}")
    if reasons:
        return Check("vLLM", False, "not ready for vLLM: " + "; ".join(reasons))
    return Check(
        "vLLM", True, f"installed: {facts.vllm}" if facts.vllm else "ready; installed by the first job that needs it"
    )


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".") if part.isdigit())


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(str(part) for part in version)
