"""Whether a rented machine ends itself as it was told: where its role may not, or its watchman died, it goes on costing money unseen."""

from __future__ import annotations

import time

from provisioning import sky_sdk
from provisioning.sky_sdk import Machine

PATIENCE_SECONDS = 300.0
"""A machine looks for jobs once a minute, and its cloud takes some to end it."""


def overdue(machine: Machine) -> str:
    """What is wrong with a machine that should be gone by now, as the end of a sentence; "" for one that is in order.

    Asks the machine. Raises ProviderError when it does not answer.
    """
    if machine.state not in ("up", "ending") or machine.ends_when_idle is None:
        return ""
    since = sky_sdk.idle_since(machine)
    idle = 0.0 if since is None else time.time() - since
    if idle <= 60 * machine.ends_when_idle + PATIENCE_SECONDS:
        return ""
    why = ": it tries and may lack the right to (the role it has in its account)" if machine.state == "ending" else ""
    return f"has had no job for {idle / 60:.0f} minutes and should have ended itself after {machine.ends_when_idle}{why}"
