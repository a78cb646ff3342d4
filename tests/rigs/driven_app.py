"""The app as a process of its own, driven by keys: `driven_app.py HOME SESSION STEP POINTS|done`.

Opens the session, runs the step in view and prints one JSON line once the loss chart shows so many points, and is then killed; or, with
`done`, once the step's result is shown. `worst_gap_ms` is the longest time the app did not get to draw or hear a key meanwhile.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from pathlib import Path

from textual.widgets import Static

from core.wizard.session import Session
from tui.app import CalmtuneApp
from tui.results.panel import ResultPanel
from tui.screens.walk import WalkScreen
from tui.widgets.loss_chart import LossChart

PAUSE = 0.01


async def gaps(found: list[float]) -> None:
    """How much later than asked the event loop came back, again and again."""
    while True:
        before = time.monotonic()
        await asyncio.sleep(PAUSE)
        found.append(time.monotonic() - before - PAUSE)


async def drive(home: Path, name: str, step: str, points: int | None) -> None:
    app = CalmtuneApp(home, name)
    found: list[float] = []
    async with app.run_test(size=(120, 36)) as pilot:
        while not isinstance(app.screen, WalkScreen):
            await pilot.pause(0.05)
        walk = app.screen
        while walk.view != step:
            await pilot.press("ctrl+n")
            await pilot.pause(0.1)
        watching = asyncio.create_task(gaps(found))
        await pilot.press("ctrl+r")
        told: dict[str, object] = {}
        while True:
            await asyncio.sleep(0.1)
            for chart in walk.query("RunPanel LossChart").results(LossChart):
                told["points"] = len(chart.training.steps)
            for line in walk.query("RunPanel #figures").results(Static):
                told["figures"] = str(line.render())
            if walk.query(ResultPanel) and points is None:
                break
            if points is not None and told.get("points", 0) >= points:
                break
            if walk.session.status(step).state in ("failed", "interrupted"):
                told["problem"] = walk.session.status(step).reason
                break
        watching.cancel()
        told |= {"worst_gap_ms": round(1000 * max(found)), "looks": len(found), "late": sum(gap > 0.1 for gap in found)}
        print(json.dumps(told), flush=True)
        if points is not None:
            os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    home, name, step, until = sys.argv[1:]
    Session.open(Path(home) / name).close()
    asyncio.run(drive(Path(home), name, step, None if until == "done" else int(until)))
