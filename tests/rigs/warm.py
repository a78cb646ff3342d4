"""Programs started in processes that have their packages already: importing those takes longer than training a tiny model does.

The standard library's fork server imports them once for all tests of a process; each program is forked from it and is else a process of its
own, with its folder, environment and output, to be stopped and killed.
"""

from __future__ import annotations

import multiprocessing
import os
import runpy
import sys
from collections.abc import Mapping
from pathlib import Path
from unittest.mock import patch

ROOT = Path(__file__).resolve().parents[2]

_server = multiprocessing.get_context("forkserver")
_server.set_forkserver_preload(["torch", "transformers", "peft", "datasets", "trl.trainer.sft_trainer"])


class WarmProcess:
    """What is used of subprocess.Popen here, with the output in files beside the working folder's other files."""

    def __init__(self, args: list[str], cwd: Path, environment: Mapping[str, str]) -> None:
        self.args = args
        self._output = [cwd / name for name in ("stdout.txt", "stderr.txt")]
        self._process = _server.Process(target=_run, args=(args, cwd, dict(environment), self._output))
        with patch.dict(os.environ, environment):  # the first one begins the server, where packages read it while they are imported
            self._process.start()
        assert self._process.pid
        self.pid = self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self.returncode

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def terminate(self) -> None:
        self._process.terminate()

    def kill(self) -> None:
        self._process.kill()

    def communicate(self) -> tuple[bytes, bytes]:
        self._process.join()
        out, err = (path.read_bytes() for path in self._output)
        return out, err


def _run(args: list[str], cwd: Path, environment: Mapping[str, str], output: list[Path]) -> None:
    """As `python ARGS…` in a folder; nothing of this checkout can be imported."""
    for number, path in enumerate(output, start=1):
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, number)
        os.close(file)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    sys.path[:] = [path for path in sys.path if "site-packages" in path or not Path(path).is_relative_to(ROOT)]
    sys.argv[:] = args
    runpy.run_path(args[0], run_name="__main__")
