"""Files shown in the owner's browser, where there is one on this screen."""

from __future__ import annotations

import os
import sys
import threading
import webbrowser
from collections.abc import Mapping
from pathlib import Path

from textual.app import App

from core.wizard.session import Session

REPORT = "report.html"


def report_of(session: Session) -> Path:
    """Where the report of a session is, or will be."""
    return session.folder / REPORT


def has_screen(environment: Mapping[str, str] = os.environ, platform: str = sys.platform) -> bool:
    """True when a browser's window would be seen here: not over SSH, not on a machine without a display."""
    if platform in ("win32", "darwin"):
        return "SSH_CONNECTION" not in environment
    return bool(environment.get("DISPLAY") or environment.get("WAYLAND_DISPLAY"))


def show_in_browser(app: App[object], path: Path) -> None:
    """Open a file in the browser; where that cannot be seen, say where the file is."""
    path = path.resolve()
    if not has_screen():
        app.notify(str(path), title="No browser here; the report is in", timeout=20, markup=False)
        return

    def show() -> None:
        if not webbrowser.open(path.as_uri()):
            app.call_from_thread(app.notify, str(path), title="No browser was found; the report is in", markup=False)

    threading.Thread(target=show, daemon=True, name="browser").start()
    app.notify(f"{path.name} opens in the browser")
