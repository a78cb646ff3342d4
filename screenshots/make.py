"""Pictures of the real app, in a finished session of the demo: `make screenshots` after `make demo`.

    python screenshots/make.py [FOLDER OF SESSIONS] [NAME]        default: .calmtune/sessions demo

Writes an SVG a screen, and a PNG beside it where Chromium is installed (it alone draws the terminal's characters faithfully).
"""

from __future__ import annotations

import asyncio
import math
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from textual.pilot import Pilot

from core.wizard.recipe import STEP_IDS
from tui.app import CalmtuneApp
from tui.results.panel import ResultPanel
from tui.screens.review import ReviewScreen
from tui.screens.sessions import SessionsScreen
from tui.screens.walk import WalkScreen

HERE = Path(__file__).resolve().parent
LOOKS = (((120, 36), "calm-dark", "dark"), ((80, 24), "calm-light", "light"))
_FLAGS = [
    f"--{flag}"
    for flag in (
        "headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-background-networking",
        "disable-component-update", "disable-sync", "hide-scrollbars",
    )
]  # fmt: skip


async def main(home: Path, name: str) -> None:
    os.chdir(home.parent)  # so that no path of this machine is in a picture
    for size, theme, look in LOOKS:
        os.environ["CALMTUNE_THEME"] = theme
        app = CalmtuneApp(Path(home.name), name)
        async with app.run_test(size=size) as pilot:
            await take(pilot, look)
    for picture in sorted(HERE.glob("*.svg")):
        draw(picture)


async def take(pilot: Pilot[None], look: str) -> None:
    """Visit every step of the session and save what is seen."""
    app = pilot.app

    async def until(condition: Callable[[], bool]) -> None:
        while not condition():
            await pilot.pause(0.05)
        await pilot.pause(0.5)

    def save(name: str) -> None:
        (HERE / f"{name}-{look}.svg").write_text(app.export_screenshot(title="calmtune"), encoding="utf-8")

    await until(lambda: isinstance(app.screen, WalkScreen))
    await pilot.press(*["ctrl+b"] * len(STEP_IDS))
    for number, step in enumerate(STEP_IDS, 1):
        await until(lambda: bool(app.screen.query("#result *, #form *")))
        await pilot.pause(1.0)
        save(f"{number}-{step}")
        if step == "dataset" and app.screen.query(ResultPanel):
            await pilot.press("v")
            await until(lambda: isinstance(app.screen, ReviewScreen) and bool(app.screen.shown))
            await pilot.press(*["down"] * 7)
            await pilot.pause(0.5)
            save(f"{number}-{step}-rows")
            await pilot.press("escape")
            await until(lambda: isinstance(app.screen, WalkScreen))
        if step == "training" and app.screen.query(ResultPanel):
            await pilot.press("ctrl+e")
            await until(lambda: bool(app.screen.query("#form")))
            save(f"{number}-{step}-answers")
            await pilot.press("f1")
            await pilot.pause(0.5)
            save("help")
            await pilot.press("escape")
        await pilot.press("ctrl+n")
        await pilot.pause(0.5)
    await pilot.press("escape")
    await until(lambda: isinstance(app.screen, SessionsScreen))
    save("sessions")


def draw(picture: Path) -> None:
    """An SVG as PNG."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        return
    with tempfile.TemporaryDirectory() as scratch:
        page = Path(scratch) / "page.html"
        drawing = picture.read_text(encoding="utf-8")
        page.write_text(f"<style>body{{margin:0}} svg{{display:block}}</style>{drawing}", encoding="utf-8")
        width, height = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', drawing).groups()  # type: ignore[union-attr]
        command = [
            browser, *_FLAGS, f"--user-data-dir={scratch}/profile", "--host-resolver-rules=MAP * ~NOTFOUND",
            f"--window-size={math.ceil(float(width))},{math.ceil(float(height))}",
            f"--screenshot={picture.with_suffix('.png')}", str(page),
        ]  # fmt: skip
        subprocess.run(command, capture_output=True, check=False, timeout=120)


if __name__ == "__main__":
    given = sys.argv[1:]
    asyncio.run(
        main(Path(given[0] if given else ".calmtune/sessions").resolve(), given[1] if len(given) > 1 else "demo")
    )
