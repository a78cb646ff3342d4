"""What a session has cost and costs now, as one value for the bar at the top."""

from __future__ import annotations

from dataclasses import dataclass

from core.wizard.answers import SESSION
from core.wizard.rents import spent, usd_per_hour
from core.wizard.session import Session
from core.wizard.spending import spent_by_step


@dataclass(frozen=True)
class Costs:
    """US dollars, as last seen."""

    usd: float = 0.0
    """Language models and rented machines so far."""
    usd_per_hour: float = 0.0
    """Of the machines that are rented now."""
    budget: float | None = None
    """At which rented machines are ended."""
    machines_usd: float = 0.0
    """The part of `usd` that the budget is about."""

    @property
    def text(self) -> str:
        """ "$0.42 · $1.29/h · machines $0.40 of $5.00" """
        parts = [f"${self.usd:.2f}"]
        if self.usd_per_hour:
            parts.append(f"${self.usd_per_hour:.2f}/h")
        if self.budget is not None:
            parts.append(f"machines ${self.machines_usd:.2f} of ${self.budget:.2f}")
        return " · ".join(parts)

    @property
    def close(self) -> bool:
        """True from nine tenths of the budget on."""
        return self.budget is not None and self.machines_usd >= 0.9 * self.budget


def costs_of(session: Session) -> Costs:
    """Raises CalmtuneError when the session cannot be read."""
    machines = spent(session.journal)
    budget = session.answers.get(SESSION, {}).get("cloud_budget_usd")
    return Costs(sum(spent_by_step(session.journal).values()) + machines, usd_per_hour(session.journal), budget, machines)
