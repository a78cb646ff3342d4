"""A program in a real terminal of its own (a pty): what it writes, and keys for it."""

from __future__ import annotations

import os
import pty
import select
import signal
import struct
import termios
import time
from collections.abc import Mapping, Sequence
from fcntl import ioctl
from pathlib import Path
from types import TracebackType


class Terminal:
    """A context manager; the program is ended with it."""

    def __init__(self, command: Sequence[str], folder: Path, environment: Mapping[str, str], size: tuple[int, int] = (24, 80)) -> None:
        self.written = b""
        """Everything so far, as bytes."""
        self._read = 0
        self._pid, self._terminal = pty.fork()
        if self._pid == 0:  # pragma: no cover
            os.chdir(folder)
            os.execvpe(command[0], list(command), dict(environment))
        ioctl(self._terminal, termios.TIOCSWINSZ, struct.pack("HHHH", *size, 0, 0))

    def wait_for(self, text: str, seconds: float = 60) -> str:
        """What is written up to and with `text`, from where the last wait ended. Raises AssertionError when it does not come."""
        wanted, deadline = text.encode(), time.monotonic() + seconds
        while (at := self.written.find(wanted, self._read)) < 0:
            if not self._more(deadline):
                raise AssertionError(f"no {text!r} in:\n{self.written[self._read :].decode(errors='replace')}")
        found = self.written[self._read : at + len(wanted)]
        self._read = at + len(wanted)
        return found.decode()

    def type(self, text: str) -> None:
        """A line, with Enter."""
        os.write(self._terminal, f"{text}\r".encode())

    def press(self, key: bytes) -> None:
        os.write(self._terminal, key)

    def end(self, seconds: float = 60) -> int:
        """Wait for the program to end by itself; its exit code."""
        while self._more(time.monotonic() + seconds):
            pass
        pid, status = os.waitpid(self._pid, 0)
        assert pid == self._pid
        self._pid = 0
        return os.waitstatus_to_exitcode(status)

    def _more(self, deadline: float) -> bool:
        ready, _, _ = select.select([self._terminal], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            return False
        try:
            found = os.read(self._terminal, 65536)
        except OSError:
            return False
        self.written += found
        return bool(found)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._pid:
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)
        os.close(self._terminal)
