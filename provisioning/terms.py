"""What the owner wants of machines that are rented."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Terms:
    """On which terms machines are rented."""

    gpu_types: tuple[str, ...] = ("A100", "A100-80GB", "H100", "L40S")
    """Any of these, SkyPilot's names; the cheapest that is to be had is taken."""
    spot: bool = False
    """Take machines that the cloud may take back at any time, for a part of the price."""
    max_usd_per_hour: float | None = None
    idle_minutes: int = 60
    """A machine without a job ends itself after so long."""
