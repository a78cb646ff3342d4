"""A SkyServe that is a file, behind the few words of serve_sdk: each service has one replica, whose `run` is really run here.

The replica's folders lie below one of this machine, its ports are others, and a program with vLLM's protocol stands in for vLLM; all else
is as SkyServe would run it. What it is given and what it ends is written down before and after, for processes that are killed.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from core.errors import ProviderError
from provisioning.machine import free_port
from provisioning.serve_sdk import Replica, Service
from provisioning.sky_sdk import Machine
from provisioning.target import Offer
from tests.rigs import vllm_stand_in
from tests.rigs.books import open_books

CALLS = ("up", "services", "down", "controllers", "one_comes_up", "settle", "log_of")
CONTROLLER = Machine("sky-serve-controller-rig", "up", "aws (us-east-1)", "m6i.xlarge", "", 0, 0.25, 1000.0, False, None)
OFFER = Offer("AWS g6.xlarge", 0.8, "", fits=True, gpu_type="L4", gpus=1, gpu_memory_gb=24, infra="aws")


class SmallServices:
    """`at` counts boundaries before, during and after each call that changes something."""

    def __init__(self, folder: Path, hollow: bool = False) -> None:
        """`hollow` services run nothing and are ready at once."""
        self.folder, self.hollow = folder, hollow
        self.at: int | None = None
        """The boundary at which the process is killed."""
        self.passed: list[str] = []
        self.coming = False
        """A request of a process that has ended is under way."""
        self._started: list[subprocess.Popen[bytes]] = []
        _write_program(folder / "bin" / "python", f'exec {sys.executable} "$@"')
        _write_program(folder / "bin" / "vllm", f'exec {sys.executable} {vllm_stand_in.__file__} "$@"')

    @property
    def python(self) -> str:
        """An interpreter with vLLM and the proxy's packages beside it, as on a replica."""
        return str(self.folder / "bin" / "python")

    def _boundary(self, what: str) -> None:
        self.passed.append(what)
        if self.at is not None and len(self.passed) == self.at:
            os.kill(os.getpid(), signal.SIGKILL)

    def _books(self) -> AbstractContextManager[dict[str, Any]]:
        return open_books(self.folder, "services", {"services": {}, "brought_up": []})

    @property
    def books(self) -> dict[str, Any]:
        """services: name → what it was asked for and where it listens; brought_up: names, in order."""
        with self._books() as books:
            return books

    # The words of serve_sdk

    def up(self, name: str, task: dict[str, Any], say: Callable[[str], None], note: Callable[[str], None]) -> None:
        self._boundary("before up")
        note("request")
        with self._books() as books:
            if name in books["services"]:
                return
            books["brought_up"].append(name)
            books["services"][name] = {"task": task, "since": time.time(), "port": free_port(), "pid": None}
        self._boundary("during up")
        if not self.hollow:
            with self._books() as books:
                books["services"][name]["pid"] = self._run(name, task, books["services"][name]["port"])
        self._boundary("after up")

    def services(self, names: Sequence[str] | None = None) -> list[Service]:
        found = self.books["services"].items()
        return [self._service(name, one) for name, one in found if names is None or name in names]

    def down(self, name: str, say: Callable[[str], None] = lambda line: None) -> None:
        self._boundary("before down")
        with self._books() as books:
            one = books["services"].pop(name, None)
            if one is not None and one["pid"]:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(one["pid"], signal.SIGKILL)
        for started in self._started:
            if one is not None and started.pid == one["pid"]:
                started.wait()
        self._boundary("after down")

    def controllers(self) -> list[Machine]:
        return [CONTROLLER] if self.books["services"] else []

    def one_comes_up(self) -> bool:
        return self.coming

    def settle(self) -> None:
        self.coming = False

    def log_of(self, service: Service) -> str:
        return (self.folder / service.name / "log").read_text()

    # Its replica

    def _service(self, name: str, one: dict[str, Any]) -> Service:
        state = self._state(one)
        machine = Machine(f"{name}-1", "up", "aws/us-east-1", "g6.xlarge", "L4", 1, 2.0, one["since"], False, None, service=name)
        return Service(name, state, f"http://127.0.0.1:{one['port']}", (Replica(state, machine),))

    def _state(self, one: dict[str, Any]) -> Any:
        if self.hollow:
            return "ready"
        if any(started.pid == one["pid"] and started.poll() is not None for started in self._started):
            return "failed"
        with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{one['port']}/health", timeout=2):
            return "ready"
        return "starting"

    def _run(self, name: str, task: dict[str, Any], port: int) -> int:
        root, behind = self.folder / name, free_port()
        for place, source in task["file_mounts"].items():
            into = root / place.lstrip("/")
            into.parent.mkdir(parents=True, exist_ok=True)
            (shutil.copytree if Path(source).is_dir() else shutil.copy)(source, into)
        settings = root / "calmtune" / "proxy.json"
        told = json.loads(settings.read_text())
        assert (told["host"], told["port"]) == ("0.0.0.0", task["resources"]["ports"])
        run = task["run"].replace(f"--port {told['to'].rpartition(':')[2].removesuffix('/v1')}", f"--port {behind}")
        settings.write_text(json.dumps({**told, "host": "127.0.0.1", "port": port, "to": f"http://127.0.0.1:{behind}/v1"}))
        for place in ("/calmtune/", "/models/"):
            run = run.replace(f" {place}", f" {root}{place}").replace(f"={place}", f"={root}{place}")
        environment = {"PATH": os.environ["PATH"], "HOME": str(root), **task["envs"]}
        with (root / "log").open("wb") as log:
            started = subprocess.Popen(
                ["bash", "-c", run], stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, start_new_session=True
            )
        self._started.append(started)
        return started.pid

    def end(self) -> None:
        """End what runs."""
        for name in list(self.books["services"]):
            with contextlib.suppress(ProviderError):
                self.down(name)


def _write_program(path: Path, line: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{line}\n")
    path.chmod(0o755)
