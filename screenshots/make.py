"""Pictures of every screen of the real app, in the finished session of the demo that `kept.py` keeps: `make screenshots`.

Writes an SVG a screen, and a PNG beside it where Chromium is installed (it alone draws the terminal's characters faithfully).
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from unittest.mock import patch

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from PIL import Image  # noqa: E402
from textual.pilot import Pilot  # noqa: E402
from textual.widgets import Input  # noqa: E402

from screenshots.kept import unpacked  # noqa: E402
from screenshots.scenes import scenes  # noqa: E402
from tui.app import CalmtuneApp  # noqa: E402

LOOKS = {
    **{f"{w}x{h}-{theme}": ((w, h), {"CALMTUNE_THEME": f"calm-{theme}"}) for w, h in ((80, 24), (120, 36)) for theme in ("dark", "light")},
    "80x24-plain": ((80, 24), {"NO_COLOR": "1"}),
}
_FLAGS = [
    f"--{flag}"
    for flag in (
        "headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-background-networking",
        "disable-component-update", "disable-sync", "hide-scrollbars",
    )
]  # fmt: skip


async def take(look: str, into: Path) -> list[Path]:
    """An SVG of every screen in one of LOOKS."""
    size, variables = LOOKS[look]
    variables = {**variables, "XDG_CONFIG_HOME": "", "XDG_STATE_HOME": ""}
    taken: list[Path] = []
    with contextlib.ExitStack() as here:
        scratch = here.enter_context(tempfile.TemporaryDirectory())
        here.enter_context(contextlib.chdir(scratch))  # and a relative path, so that none of this machine is in a picture
        here.enter_context(patch.dict(os.environ, variables, HOME=scratch))
        here.enter_context(patch.object(Input, "cursor_blink", False))
        here.enter_context(unpacked(Path("sessions")))
        app = CalmtuneApp(Path("sessions"), "demo")
        async with app.run_test(size=size) as pilot:
            async for name in scenes(pilot):
                taken.append(into / f"{name}-{look}.svg")
                taken[-1].write_text(await _settled(app, pilot), encoding="utf-8")
    return taken


async def _settled(app: CalmtuneApp, pilot: Pilot[None]) -> str:
    """The drawing once two in a row are alike: a busy machine draws late."""
    before, now = "", app.export_screenshot(title="calmtune")
    while now != before:
        await pilot.pause(0.3)
        before, now = now, app.export_screenshot(title="calmtune")
    return now


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
    drawn = picture.with_suffix(".png")
    Image.open(drawn).quantize(256).save(drawn, optimize=True)  # terminals have few colours, and the pictures are many


if __name__ == "__main__":
    for old in (*HERE.glob("*.svg"), *HERE.glob("*.png")):
        old.unlink()
    for look in LOOKS:
        for picture in asyncio.run(take(look, HERE)):
            if not look.endswith("plain"):
                draw(picture)
