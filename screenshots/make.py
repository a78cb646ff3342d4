"""Pictures of the real app on the sample assistant: `make screenshots`.

Writes an SVG a screen, and a PNG beside it where Chromium is installed (it alone draws the terminal's characters faithfully).
"""

from __future__ import annotations

import asyncio
import math
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from core.demo import answers, copy_to
from core.wizard.session import Session
from tui.app import CalmtuneApp
from tui.results.panel import ResultPanel
from tui.screens.walk import WalkScreen

HERE = Path(__file__).resolve().parent
SIZE = (120, 36)
_FLAGS = [
    f"--{flag}"
    for flag in (
        "headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-background-networking",
        "disable-component-update", "disable-sync", "hide-scrollbars",
    )
]  # fmt: skip


async def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        os.chdir(scratch)  # so that no path of this machine is in a picture
        home, sample = Path("sessions"), Path("sample")
        copy_to(sample)
        session = Session.create(home, "lighthouse")
        for section, body in answers(sample).items():
            session.answer(section, body)
        session.close()
        await take(home)
    for picture in sorted(HERE.glob("*.svg")):
        draw(picture)


async def take(home: Path) -> None:
    """Walk through the first steps and save what is seen."""
    app = CalmtuneApp(home, "lighthouse")
    async with app.run_test(size=SIZE) as pilot:

        async def until(condition: Callable[[], bool]) -> None:
            while not condition():
                await pilot.pause(0.05)
            await pilot.pause(0.3)

        def save(name: str) -> None:
            (HERE / f"{name}.svg").write_text(app.export_screenshot(title="calmtune"), encoding="utf-8")

        await until(lambda: isinstance(app.screen, WalkScreen))
        save("1-coverage-form")
        for result, form in (("2-coverage-result", "3-dataset-form"), ("4-dataset-result", "5-training-form")):
            await pilot.press("ctrl+r")
            await until(lambda: bool(app.screen.query(ResultPanel)))
            save(result)
            await pilot.press("ctrl+n")
            await pilot.pause(0.3)
            save(form)
        await pilot.press("escape")
        await pilot.pause(0.5)
        save("6-sessions")
    os.chdir(HERE)


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
            f"--window-size={math.ceil(float(width))},{math.ceil(float(height))}", f"--screenshot={picture.with_suffix('.png')}", str(page),
        ]  # fmt: skip
        subprocess.run(command, capture_output=True, check=False, timeout=120)


if __name__ == "__main__":
    asyncio.run(main())
