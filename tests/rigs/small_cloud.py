"""A cloud that is a file, behind the few words of sky_sdk: its one kind of machine is a real sshd here, which is all of its nodes, and it
dies where it is told to.

What it gives out and ends is written down before and after, so that a process that is killed in the middle of a call leaves what a real
cloud would have left.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from core.errors import ProviderError
from provisioning import sky_sdk
from provisioning.sky_sdk import Machine
from tests.rigs.books import open_books
from tests.rigs.sshd import Sshd

CALLS = ("rent", "machines", "queue", "unqueue", "end", "login", "give_up")
_ON_EACH_NODE = """
for rank in $(seq 0 $(($SKYPILOT_NUM_NODES - 1))); do SKYPILOT_NODE_RANK=$rank bash -c "$RUN" & done
while true; do wait -n; ended=$?; [ $ended = 127 ] && break; [ $ended = 0 ] || kill $(jobs -p); done
"""
"""As SkyPilot runs a task of several nodes: one that fails ends the others."""


class SmallCloud:
    """`at` counts boundaries: before, during and after each call that changes something, before each that only asks."""

    def __init__(self, folder: Path, server: Sshd) -> None:
        self.folder, self.server = folder, server
        self.at: int | None = None
        """The boundary at which the process is killed."""
        self.passed: list[str] = []
        self.hold_renting: Callable[[], bool] = lambda: False
        """Renting goes on for as long as this is true and nobody gives it up."""
        self.renting = threading.Event()
        self._given_up = False
        self._started: list[subprocess.Popen[bytes]] = []

    def install(self) -> None:
        """Take the place of SkyPilot in this process."""
        for name in CALLS:
            setattr(sky_sdk, name, getattr(self, name))

    def _boundary(self, what: str) -> None:
        self.passed.append(what)
        if self.at is not None and len(self.passed) == self.at:
            os.kill(os.getpid(), signal.SIGKILL)

    def _books(self) -> AbstractContextManager[dict[str, Any]]:
        return open_books(self.folder, "cloud", {"machines": {}, "launches": 0, "jobs": {}})

    @property
    def books(self) -> dict[str, Any]:
        """machines: name → state; launches: machines ever begun; jobs: name → process id of what the queue started."""
        with self._books() as books:
            return books

    # The words of sky_sdk

    def rent(self, name: str, task: dict[str, Any], say: Callable[[str], None], note: Callable[[str], None]) -> None:
        self._boundary("before rent")
        note("request")
        with self._books() as books:
            books["launches"] += name not in books["machines"]
            (self.folder / f"nodes-{name}").write_text(str(task.get("num_nodes", 1)))
            books["machines"].setdefault(name, "starting")
        self._boundary("during rent")
        self.renting.set()
        while self.hold_renting():
            if self._given_up:
                raise ProviderError(f"{name} cannot be rented: the request was given up")
            time.sleep(0.02)
        with self._books() as books:
            if name in books["machines"]:
                books["machines"][name] = "up"
        self._boundary("after rent")

    def machines(self, names: Sequence[str] | None = None, ask_cloud: bool = False) -> list[Machine]:
        self._boundary("before machines")
        found = self.books["machines"].items()
        return [
            Machine(name, state, "here", "small", "", 0, 1.0, time.time() - 1, False, 60, nodes=self._nodes(name))
            for name, state in found
            if names is None or name in names
        ]

    def queue(self, machine: str, task: dict[str, Any], say: Callable[[str], None]) -> None:
        self._boundary("before queue")
        with self._books() as books:
            assert books["machines"].get(machine) == "up"
            if not _alive(books["jobs"].get(task["name"])):
                nodes = task.get("num_nodes", 1)
                told = {"RUN": task["run"], "SKYPILOT_NUM_NODES": str(nodes), "SKYPILOT_NODE_IPS": "\n".join(nodes * ["127.0.0.1"])}
                told["SKYPILOT_TASK_ID"] = f"sky-{time.time()}"
                with (self.folder / "queue.log").open("ab") as log:
                    started = subprocess.Popen(
                        ["bash", "-c", _ON_EACH_NODE], stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                        env={**os.environ, **told},
                    )  # fmt: skip
                self._started.append(started)
                books["jobs"][task["name"]] = started.pid
        self._boundary("after queue")

    def unqueue(self, machine: str, name: str) -> None:
        self._boundary("before unqueue")
        with self._books() as books:
            if _alive(pid := books["jobs"].pop(name, None)):
                os.killpg(pid, signal.SIGTERM)

    def end(self, name: str, say: Callable[[str], None] = lambda line: None) -> None:
        self._boundary("before end")
        with self._books() as books:
            if name in books["machines"]:
                books["machines"][name] = "starting"  # as SkyPilot shows one that it cannot tell
        self._boundary("during end")
        with self._books() as books:
            books["machines"].pop(name, None)
            for pid in books["jobs"].values():
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(pid, signal.SIGTERM)
            books["jobs"] = {}
        for started in self._started:
            started.wait()
        self._boundary("after end")

    def take_back(self, name: str) -> None:
        """As a cloud does with a spot machine: its jobs end, its links are cut, and SkyPilot forgets the way there."""
        self.end(name)
        for path in self.folder.glob("ssh-*"):
            path.unlink()
        self.server.relay.cut()

    def login(self, machine: Machine) -> Path:
        self._boundary("before login")
        path = self.folder / f"ssh-{os.getpid()}"
        names = [machine.name, *(f"{machine.name}-worker{number}" for number in range(1, machine.nodes))]
        path.write_text("\n".join(map(self.server.config, names)))
        return path

    def _nodes(self, name: str) -> int:
        return int((self.folder / f"nodes-{name}").read_text())

    def give_up(self, request: str) -> None:
        self._boundary("before give up")
        self._given_up = True


def _alive(pid: int | None) -> bool:
    if pid is None:
        return False
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
