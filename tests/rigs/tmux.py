"""A real terminal: tmux, with what is typed and seen recorded in asciinema's format (docs.asciinema.org/manual/asciicast/v2).

`with Terminal(command, …) as terminal:` runs a command as a person would see it: `terminal.type("hello", "Enter")`,
`terminal.wait_for("words")`. The recording is played by `asciinema play FILE`.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil
import pytest

TMUX = shutil.which("tmux")
needs_tmux = pytest.mark.skipif(TMUX is None, reason="tmux is not installed")
_SERVER = ("-f", "/dev/null", "-u")


class Terminal:
    """One command in a terminal of its own. `recording` is where what is typed and seen is written as it happens."""

    def __init__(
        self, command: Sequence[str], cwd: Path, environment: Mapping[str, str], recording: Path, size: tuple[int, int] = (80, 24)
    ) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="term")
        self._socket = f"{self._folder.name}/tmux"
        self._columns, self._rows = size
        self._recording = recording.open("w", encoding="utf-8")
        self._lock, self._began = threading.Lock(), time.monotonic()
        header = {"version": 2, "width": self._columns, "height": self._rows, "title": shlex.join(command)}
        self._recording.write(json.dumps(header) + "\n")
        pipe = f"{self._folder.name}/seen"
        os.mkfifo(pipe)
        self._listener = threading.Thread(target=self._listen, args=(pipe,), daemon=True)
        self._listener.start()
        self._environment = {**environment, "TERM": "xterm-256color", "LC_ALL": "C.UTF-8", "COLORTERM": "truecolor"}
        # The shell waits for a line, so that nothing is shown before it is recorded.
        self._exit = Path(self._folder.name) / "exit"
        script = f"read -r _; {shlex.join(command)}; echo $? > {self._exit}"
        self._tmux("new-session", "-d", "-s", "it", "-x", str(self._columns), "-y", str(self._rows), "-c", str(cwd), "sh", "-c", script)
        self._tmux("set-option", "-g", "remain-on-exit", "on")
        self._tmux("set-option", "-g", "escape-time", "0")
        self._tmux("pipe-pane", "-t", "it", "-O", f"cat > {pipe}")
        self._tmux("send-keys", "-t", "it", "Enter")

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        self._tmux("kill-server", check=False)
        self._listener.join(5)
        self._recording.close()
        self._folder.cleanup()

    def type(self, *keys: str) -> None:
        """Keys as tmux names them ("C-r", "Enter", "F1"), or text that is typed letter by letter."""
        for key in keys:
            self._record("i", key)
            named = len(key) == 1 or key[:2] in ("C-", "M-", "S-") or key in _NAMED
            self._tmux("send-keys", "-t", "it", *(() if named else ("-l",)), key)

    @property
    def screen(self) -> str:
        """What is seen now."""
        return self._tmux("capture-pane", "-t", "it", "-p")

    def wait_for(self, *words: str, seconds: float = 60) -> str:
        """The screen once all the words are on it."""
        deadline = time.monotonic() + seconds
        while True:
            screen = self.screen
            if all(word in screen for word in words):
                return screen
            assert time.monotonic() < deadline, f"{words} did not come within {seconds} s:\n{screen}"
            time.sleep(0.1)

    def wait_for_end(self, seconds: float = 60) -> int:
        """The exit code of the command, as its shell has it."""
        deadline = time.monotonic() + seconds
        while not (self._exit.exists() and self._exit.read_text().endswith("\n")):
            assert time.monotonic() < deadline, f"it goes on after {seconds} s:\n{self.screen}"
            time.sleep(0.1)
        return int(self._exit.read_text())

    def resize(self, columns: int, rows: int) -> None:
        self._record("r", f"{columns}x{rows}")
        self._tmux("resize-window", "-t", "it", "-x", str(columns), "-y", str(rows))

    @property
    def pid(self) -> int:
        """Of the command."""
        shell = int(self._tmux("display-message", "-t", "it", "-p", "#{pane_pid}"))
        (running,) = psutil.Process(shell).children()
        return running.pid

    def _listen(self, pipe: str) -> None:
        with open(pipe, "rb") as seen:
            while piece := os.read(seen.fileno(), 65536):
                self._record("o", piece.decode("utf-8", "replace"))

    def _record(self, kind: str, what: str) -> None:
        with self._lock:
            if not self._recording.closed:
                self._recording.write(json.dumps([round(time.monotonic() - self._began, 3), kind, what]) + "\n")

    def _tmux(self, *arguments: str, check: bool = True) -> str:
        done = subprocess.run(
            [TMUX or "tmux", "-S", self._socket, *_SERVER, *arguments], capture_output=True, text=True, env=self._environment, check=False
        )
        assert not check or done.returncode == 0, done.stderr
        return done.stdout.rstrip("\n")


_NAMED = {
    "Enter", "Escape", "Tab", "BTab", "Space", "BSpace", "Up", "Down", "Left", "Right", "Home", "End", "PPage", "NPage",
    *(f"F{number}" for number in range(1, 13)),
}  # fmt: skip
