"""`calmtune run --plan`: what would run, why, and what it would take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from tui import output

if TYPE_CHECKING:
    from core.wizard.forecast import Forecast
    from core.wizard.session import Session


def show_plan(
    session: Session, answers: Mapping[str, Mapping[str, Any]], until: str, force: Sequence[str], as_json: bool
) -> None:
    """The plan on stdout. Raises CalmtuneError when the answers or the assistant are wrong."""
    from core.wizard.forecast import forecast
    from tui.opening import home

    found = forecast(session, answers, until, force)
    if as_json:
        known = session.folder.parent == home()
        output.as_json({"session": session.id if known else None, "steps": [asdict(one) for one in found]})
        return
    rows = [[one.step, one.would, one.why, _last(one)] for one in found]
    output.data(output.table(rows, ["step", "would", "why", "last time"]))
    output.data("")
    for one in found:
        for what, said in one.spends.items():
            output.data(f"{one.step}, {what}: {said}")
    if not any(one.spends for one in found):
        running = next((one.step for one in found if one.would == "run"), None)
        output.data(f"{running}: price and time are not known beforehand." if running else "Nothing would run.")
    if later := [one.step for one in found if one.would in ("run", "perhaps")][1:]:
        output.data(f"Price and time of later steps are known when those before them are done: {', '.join(later)}.")
    output.data("Nothing was changed.")


def _last(one: Forecast) -> str:
    from core.wizard.consequences import duration

    return "" if one.last_seconds is None else duration(one.last_seconds)
