"""A real browser without a window, to see what a page becomes: colours, sizes, pages of paper."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
_FLAGS = [
    f"--{flag}"
    for flag in (
        "headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-background-networking",
        "disable-component-update", "disable-dev-shm-usage", "disable-sync", "hide-scrollbars", "host-resolver-rules=MAP * ~NOTFOUND",
    )
]  # fmt: skip
# The page stands in a frame of the width wanted: windows have a least width, frames have none, and the page's own policy stays.
_FRAME = """<!DOCTYPE html><meta charset="utf-8"><meta name="color-scheme" content="light dark"><title>frame</title>
<iframe id="frame" style="border:0;width:{width}px;height:900px" srcdoc="{page}"></iframe><script type="text/json" id="found"></script>
<script>
addEventListener("load", () => {{
  const inner = document.getElementById("frame").contentWindow, page = inner.document, root = page.documentElement;
  const numbers = colour => (colour.match(/[\\d.]+/g) || []).map(Number);
  const light = colour => numbers(colour).slice(0, 3).map(c => c / 255)
    .map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
    .reduce((sum, c, at) => sum + c * [0.2126, 0.7152, 0.0722][at], 0);
  const behind = element => {{
    for (let at = element; at; at = at.parentElement) {{
      const colour = inner.getComputedStyle(at).backgroundColor;
      if (colour !== "transparent" && numbers(colour)[3] !== 0) return colour;
    }}
    return "rgb(255, 255, 255)";
  }};
  const says = element => [...element.childNodes].some(node => node.nodeType === 3 && node.data.trim());
  const contrasts = [...page.body.querySelectorAll("*")].filter(says).map(element => {{
    const style = inner.getComputedStyle(element);
    const [one, other] = [light(element.ownerSVGElement ? style.fill : style.color), light(behind(element))].sort((a, b) => b - a);
    return {{contrast: (one + 0.05) / (other + 0.05), element: element.tagName + "." + element.className}};
  }});
  const clipped = element => element && (inner.getComputedStyle(element).clipPath !== "none" || clipped(element.parentElement));
  const outside = [...page.body.querySelectorAll("*")]
    .filter(e => e.getBoundingClientRect().right > inner.innerWidth + 1 && !clipped(e));
  document.getElementById("found").textContent = JSON.stringify({{
    title: page.title, width: inner.innerWidth, needed: root.scrollWidth, height: root.scrollHeight,
    outside: outside.map(e => e.tagName + "." + (e.getAttribute("class") || "")).slice(0, 5),
    background: inner.getComputedStyle(page.body).backgroundColor, colour: inner.getComputedStyle(page.body).color,
    contrast: contrasts.sort((a, b) => a.contrast - b.contrast)[0],
    foreign: page.querySelectorAll("script, img, iframe, object, link, base, form, textarea").length,
    resources: inner.performance.getEntriesByType("resource").length,
  }}).replaceAll("<", "\\\\u003c");
}});
</script>"""


def measured(page: str, folder: Path, width: int, dark: bool = False) -> dict[str, Any]:
    """What a page comes to at a width, in pixels, for a reader who wants it light or dark.

    title, width, needed (more than width: it scrolls sideways), outside (elements that stick out), background, colour, contrast (the
    lowest of any text, with its element), foreign (elements a report has none of), resources (what it asked for).
    """
    file = folder / "frame.html"
    file.write_text(_FRAME.format(width=width, page=html.escape(page)), encoding="utf-8")
    scheme = f"--blink-settings=preferredColorScheme={0 if dark else 1}"
    seen = _run(folder, scheme, "--dump-dom", "--window-size=1600,1000", file.as_uri()).decode(
        "utf-8", errors="replace"
    )
    found = re.search(r'<script type="text/json" id="found">(.+?)</script>', seen, re.DOTALL)
    assert found is not None, seen[-2000:]
    body: dict[str, Any] = json.loads(found[1])
    return body


def pages_on_paper(page: Path, folder: Path, dark: bool = False) -> int:
    """How many pages a printed page has."""
    paper = folder / "paper.pdf"
    scheme = f"--blink-settings=preferredColorScheme={0 if dark else 1}"
    _run(folder, scheme, "--no-pdf-header-footer", f"--print-to-pdf={paper}", page.as_uri())
    return len(re.findall(rb"/Type\s*/Page\b", paper.read_bytes()))


def _run(folder: Path, *arguments: str) -> bytes:
    assert BROWSER is not None
    command = [BROWSER, *_FLAGS, f"--user-data-dir={folder / 'profile'}", *arguments]
    return subprocess.run(command, capture_output=True, check=True, timeout=300, stdin=subprocess.DEVNULL).stdout
