"""What could be rented for a need: every GPU the clouds list, with its price and whether the account is ready."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from provisioning import sky_sdk
from provisioning.job import Resources
from provisioning.place_names import cloud_of
from provisioning.target import Offer

_SCHEDULERS = ("slurm", "kubernetes", "ssh")
"""Infra whose machines are owned already: no price, and what is free changes by the minute."""

_SANE_GB = 1.0
"""Less memory of a GPU is a mistake of the catalog."""


@dataclass(frozen=True)
class Listed:
    """One instance type of a cloud with GPUs, at its cheapest region."""

    cloud: str
    instance: str
    gpu_type: str
    gpus: int
    usd_per_hour: float
    """NaN where no price is known."""
    spot: bool
    cpus: float
    memory_gb: float
    gpu_memory_gb: float = 0.0


def listed(infra: str, gpu_types: Sequence[str], spot: bool) -> list[Listed]:
    """Instances with these GPUs that SkyPilot's catalog has. Raises ProviderError when it cannot be read."""
    module = sky_sdk.sky()
    cloud = cloud_of(infra)
    with sky_sdk.in_words("the list of machines cannot be read"):
        found = module.list_accelerators(gpus_only=True, clouds=[cloud] if cloud else None, require_price=False)
    rows = [row for name in (gpu_types or found) for row in found.get(name, [])]
    return [
        Listed(
            row.cloud, row.instance_type or "", row.accelerator_name, int(row.accelerator_count), float(price), kind,
            float(row.cpu_count or 0), float(row.memory or 0), float(row.device_memory or 0),
        )
        for row in rows
        for kind, price in ((False, row.price), *(((True, row.spot_price),) if spot else ()))
        if kind is False or not math.isnan(price)
    ]  # fmt: skip


def ready_clouds() -> set[str]:
    """Clouds that let the owner rent, in small letters."""
    module = sky_sdk.sky()
    from sky.client import sdk

    with sky_sdk.in_words("SkyPilot does not tell which clouds are ready"):
        return {str(name).lower() for name in module.get(sdk.enabled_clouds())}


def offers(infra: str, need: Resources, gpu_types: Sequence[str], spot: bool, most_usd: float | None) -> Sequence[Offer]:
    """Offers for a need, those that fit first, then by price. Raises ProviderError when clouds cannot be asked."""
    if not need.gpus:
        return [Offer(infra or "any cloud", math.nan, "the cheapest machine with enough memory", fits=True)]
    wanted = [name for name in gpu_types if need.gpus_of(name) is not None]
    return offers_of(listed(infra, wanted, spot) if wanted else [], ready_clouds(), need, most_usd)


def offers_of(rows: Iterable[Listed], ready: set[str], need: Resources, most_usd: float | None) -> list[Offer]:
    """Of each cloud and GPU type the smallest machine with enough GPUs, with the reason why it fits or not."""
    smallest: dict[tuple[str, str, bool], Listed] = {}
    for row in rows:
        key, needed = (row.cloud, row.gpu_type, row.spot), need.gpus_of(row.gpu_type)
        if needed is not None and row.gpus >= needed and (key not in smallest or _size(row) < _size(smallest[key])):
            smallest[key] = row
    return sorted((_offer(row, ready, need, most_usd) for row in smallest.values()), key=lambda offer: (not offer.fits, _price(offer)))


def _size(row: Listed) -> tuple[int, float]:
    return row.gpus, row.usd_per_hour if not math.isnan(row.usd_per_hour) else math.inf


def _price(offer: Offer) -> float:
    return math.inf if math.isnan(offer.usd_per_hour) else offer.usd_per_hour


def _offer(row: Listed, ready: set[str], need: Resources, most_usd: float | None) -> Offer:
    wrong = []
    if row.cloud.lower() not in ready:
        wrong.append(f"your account is not ready: `sky check {row.cloud.lower()}` says what is missing")
    if need.nodes > 1 and not has_nodes(row.cloud):
        wrong.append("its further nodes cannot be reached over SSH")
    usd = row.usd_per_hour * need.nodes
    if most_usd is not None and usd > most_usd:
        wrong.append(f"above your limit of ${most_usd:.2f} an hour")
    if row.memory_gb and row.memory_gb < need.memory_gb:
        wrong.append(f"{row.memory_gb:.0f} GB of memory, {need.memory_gb:.0f} needed")
    if row.gpu_memory_gb >= _SANE_GB and row.gpu_memory_gb < need.gpu_memory_gb:
        wrong.append(f"{row.gpu_memory_gb:.0f} GB of GPU memory, {need.gpu_memory_gb:.0f} needed")
    size = f"{row.cpus:.0f} cores, {row.memory_gb:.0f} GB memory" if row.cpus else "as the scheduler gives"
    needed = need.gpus_of(row.gpu_type)
    if needed is not None and row.gpus > needed:
        size += f"; {row.cloud} rents {row.gpu_type} only {row.gpus} at a time, {needed} needed"
    return Offer(
        f"{need.nodes} × " * (need.nodes > 1) + f"{row.cloud} {row.instance or row.gpu_type}",
        usd,
        "; ".join(wrong) or size,
        fits=not wrong,
        spot=row.spot,
        gpu_type=row.gpu_type,
        gpus=row.gpus,
        gpu_memory_gb=row.gpu_memory_gb,
        infra=row.cloud.lower(),
    )


def has_nodes(infra: str) -> bool:
    """Whether SkyPilot gives each node of several a way over SSH."""
    return cloud_of(infra) != "kubernetes"


def is_scheduler(infra: str) -> bool:
    """Whether machines of this infra belong to somebody already and cost nothing by the hour."""
    return cloud_of(infra) in _SCHEDULERS
