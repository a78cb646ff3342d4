"""Whether a rented machine ends itself as it was told: where its role may not, or its watchman died, it goes on costing money unseen."""

from __future__ import annotations

import time

from provisioning import sky_sdk
from provisioning.sky_sdk import Machine

PATIENCE_SECONDS = 300.0
"""A machine looks for jobs once a minute, and its cloud takes some to end it."""


def overdue(machine: Machine) -> str:
    """What is wrong with a machine that should be gone by now, as the end of a sentence; "" for one that is in order.

    Asks the machine when it is up. Raises ProviderError when it does not answer.
    """
    now = time.time()
    if machine.state == "ending" and now - machine.in_state_since > PATIENCE_SECONDS:
        minutes = (now - machine.in_state_since) / 60
        return f"has been ending itself for {minutes:.0f} minutes and is still there: it may lack the right to (the role of its account)"
    if machine.state == "up" and machine.ends_when_idle is not None:
        since = sky_sdk.idle_since(machine)
        if since is not None and now - since > 60 * machine.ends_when_idle + PATIENCE_SECONDS:
            return f"has had no job for {(now - since) / 60:.0f} minutes and should have ended itself after {machine.ends_when_idle}"
    return ""
