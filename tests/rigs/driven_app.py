"""The app as a process of its own, driven by keys: `driven_app.py HOME SESSION STEP POINTS|done`.

Opens the session, runs the step in view and prints one JSON line once the loss chart shows so many points, and is then killed; or, with
`done`, once the step's result is shown. `worst_gap_ms` is the longest time the app did not get to draw or hear a key meanwhile;
`worst_work_ms` and `worst_process_ms` are how long its own thread, and all threads of it, had a processor within one such time: the rest is
the machine's. `worst_collection_ms` is the longest time that looking for garbage took.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import NamedTuple

from textual.widgets import Static

from core.collector import collect_rarely
from core.wizard.session import Session
from tui.app import CalmtuneApp, stay_responsive
from tui.results.panel import ResultPanel
from tui.screens.walk import WalkScreen
from tui.widgets.loss_chart import LossChart

PAUSE = 0.01


class Gap(NamedTuple):
    """Seconds of one look at the event loop: how much later than asked it came back, and who had a processor meanwhile."""

    late: float
    work: float
    process: float


async def gaps(found: list[Gap]) -> None:
    """How much later than asked the event loop came back, again and again."""
    clocks = (time.monotonic, time.thread_time, time.process_time)
    while True:
        before = [clock() for clock in clocks]
        await asyncio.sleep(PAUSE)
        wall, work, process = (clock() - then for clock, then in zip(clocks, before, strict=True))
        found.append(Gap(wall - PAUSE, work, process))


def collections(found: list[float]) -> None:
    """How long looking for garbage takes, each time."""
    began = 0.0

    def look(phase: str, info: dict[str, int]) -> None:
        nonlocal began
        if phase == "start":
            began = time.monotonic()
        else:
            found.append(time.monotonic() - began)

    gc.callbacks.append(look)


async def drive(home: Path, name: str, step: str, points: int | None) -> None:
    app = CalmtuneApp(home, name)
    found: list[Gap] = []
    collected = [0.0]
    collections(collected)
    stay_responsive()
    async with app.run_test(size=(120, 36)) as pilot:
        while not isinstance(app.screen, WalkScreen):
            await pilot.pause(0.05)
        walk = app.screen
        while walk.view != step:
            await pilot.press("ctrl+n")
            await pilot.pause(0.1)
        await pilot.pause(1)  # the form has come, which is before anything is launched
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
        worst = [round(1000 * max(column)) for column in zip(*found, strict=True)]
        told |= dict(zip(("worst_gap_ms", "worst_work_ms", "worst_process_ms"), worst, strict=True))
        told |= {"looks": len(found), "late": sum(gap.late > 0.1 for gap in found), "busy": sum(gap.work > 0.1 for gap in found)}
        told["worst_collection_ms"] = round(1000 * max(collected))
        told["late_gaps"] = [[round(1000 * seconds) for seconds in gap] for gap in found if gap.late > 0.1]
        print(json.dumps(told), flush=True)
        if points is not None:
            os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    collect_rarely()
    home, name, step, until = sys.argv[1:]
    Session.open(Path(home) / name).close()
    asyncio.run(drive(Path(home), name, step, None if until == "done" else int(until)))
