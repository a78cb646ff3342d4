"""calmtune as a process whose narration is heard."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import ClassVar

from tests.rigs.recipe import command


class Running:
    """calmtune as a process whose narration is heard."""

    all: ClassVar[list[Running]] = []

    def __init__(self, folder: Path, environment: Mapping[str, str], *arguments: str) -> None:
        self.process = subprocess.Popen(
            command(*arguments), cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.lines: list[str] = []
        self._listeners = [
            threading.Thread(target=lambda: self.lines.extend(iter(self.process.stderr.readline, "")), daemon=True),
            threading.Thread(target=lambda: setattr(self, "out", self.process.stdout.read()), daemon=True),
        ]
        self.out = ""
        for listener in self._listeners:
            listener.start()
        self.all.append(self)

    @property
    def told(self) -> str:
        return "".join(self.lines)

    def wait_for(self, words: str, seconds: float = 420) -> None:
        self.wait_until(lambda: words in self.told, seconds)

    def wait_until(self, happened: Callable[[], object], seconds: float = 420) -> None:
        deadline = time.monotonic() + seconds
        while not happened():
            assert self.process.poll() is None, self.told
            assert time.monotonic() < deadline, self.told
            time.sleep(0.2)

    def end(self, seconds: float = 1800) -> int:
        code = self.process.wait(seconds)
        for listener in self._listeners:
            listener.join()
        return code

    def kill(self) -> None:
        self.process.kill()
        self.end()
