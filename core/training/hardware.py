"""How much memory a machine has and how fast it computes, from its name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

TERA = 1e12
DENSE_BF16: dict[str, float] = {
    "B200": 2250, "H200": 989, "H100 PCIE": 756, "H100 NVL": 835, "H100": 989, "GH200": 989, "A100": 312, "A800": 312, "A40": 150,
    "A30": 165, "A10G": 70, "A10": 125, "L40S": 362, "L40": 181, "L4": 121, "T4": 65, "V100": 125,
    "RTX A6000": 155, "RTX 6000 ADA": 364, "RTX 5090": 209, "RTX 4090": 165, "RTX 3090": 71,
}  # fmt: skip
"""Peak TFLOP/s of dense bfloat16 products (T4 and V100: float16), by NVIDIA's data sheets; the figures with sparsity are twice these."""
UTILISATION = (0.25, 0.45)
"""Share of the peak that LoRA training reached in published runs on one GPU (18 % without packing, 31 to 43 % with)."""
CPU_CORE = {True: (35e9, 80e9), False: (12e9, 40e9)}
"""Useful FLOP/s of a core, with and without bfloat16 products. Measured once: 58e9 on a Xeon with AMX; the rest is assumed."""


MEMORY_GB: dict[str, float] = {
    "B200": 180, "H200": 141, "H100 80GB": 80, "H100": 80, "GH200": 96, "A100 80GB": 80, "A100": 40, "A40": 48, "A30": 24, "A10G": 24,
    "A10": 24, "L40S": 48, "L40": 48, "L4": 24, "T4": 16, "V100 32GB": 32, "V100": 16, "RTX A6000": 48, "RTX 6000 ADA": 48, "RTX 5090": 32,
    "RTX 4090": 24, "RTX 3090": 24,
}  # fmt: skip
"""Memory of a GPU by NVIDIA's data sheets; where one is sold in two sizes, the smaller unless its name says the larger."""


@dataclass(frozen=True)
class Hardware:
    """Where training would run."""

    name: str
    memory: int
    """Bytes; 0 where it is not known."""
    gpu: bool
    flops: tuple[float, float] | None
    """Useful FLOP/s, low and high; None where the machine's speed is not known."""
    why: str
    """Where the speed comes from, as a sentence."""
    count: int = 1
    """GPUs, or machines without, that train together; memory and speed are those of each."""
    nodes: int = 1
    """Machines that these are spread over evenly."""


def together(hardware: Hardware, count: int, nodes: int = 1) -> Hardware:
    """So many of the GPUs of each of so many machines, taken to be alike; a machine without GPUs is what it is."""
    return replace(hardware, count=nodes * (max(1, count) if hardware.gpu else 1), nodes=nodes)


def gpu(name: str, memory: int) -> Hardware:
    """One GPU as nvidia-smi names it; memory in bytes."""
    peak = peak_of(name)
    if peak is None:
        return Hardware(name, memory, True, None, f"the speed of {name} is not in calmtune's table")
    low, high = UTILISATION
    why = f"{name}: {peak / TERA:.0f} TFLOP/s dense bf16 at {low:.0%} to {high:.0%}"
    return Hardware(name, memory, True, (low * peak, high * peak), why)


def named_gpu(name: str, listed_gb: float = 0.0) -> Hardware:
    """One GPU by its name in a price list; `listed_gb` is the memory that list says, for those that are not in our table."""
    gigabytes = _entry(MEMORY_GB, name) or (listed_gb if listed_gb >= 1 else 0)  # some lists count a GPU's megabytes as gigabytes
    return gpu(name, round(gigabytes * 1e9))


def cpu(cores: int, memory: int, bfloat16: bool) -> Hardware:
    """A machine without a GPU; memory in bytes."""
    low, high = CPU_CORE[bfloat16]
    how = "with" if bfloat16 else "without"
    why = f"{cores} CPU cores {how} bfloat16 products, assumed to do {low / 1e9:.0f} to {high / 1e9:.0f} GFLOP/s each"
    return Hardware(f"{cores} CPU cores", memory, False, (cores * low, cores * high), why)


def peak_of(name: str) -> float | None:
    """Peak FLOP/s of a GPU's dense bf16 products; None for one that is not in the table."""
    peak = _entry(DENSE_BF16, name)
    return peak * TERA if peak is not None else None


def compute_capability(name: str) -> float | None:
    """Of a GPU by its name, as far as it decides whether bfloat16 is computed; None for one that is not in the table."""
    old = {"T4": 7.5, "V100": 7.0}
    return _entry(old, name) or (8.0 if peak_of(name) is not None else None)


def _entry(table: Mapping[str, float], name: str) -> float | None:
    """The entry whose words stand in the name, with or without blanks between; the longest of several."""
    plain = re.sub(r"[^A-Z0-9]+", " ", name.upper())
    known = [entry for entry in table if re.search(rf"\b{entry.replace(' ', ' ?')}\b", plain)]
    return table[max(known, key=len)] if known else None
