"""What tests of pictures do before one is taken."""

from __future__ import annotations

from pathlib import Path

from core.wizard.session import Session
from tui.app import CalmtuneApp


def opened(name: str | None = "one", assistant: str = "parcels") -> CalmtuneApp:
    """The app on a new session of that name in the present folder; on no session at all with None."""
    home = Path("sessions")
    if name is not None:
        session = Session.create(home, name)
        session.answer("session", {"assistant": assistant})
        session.close()
    return CalmtuneApp(home, name)


async def until(pilot, condition) -> None:
    for _ in range(600):
        await pilot.pause(0.02)
        if condition():
            await pilot.pause(0.2)
            return
    raise AssertionError("it did not come about")


def shows(pilot, kind) -> bool:
    return bool(pilot.app.screen.query(kind))
