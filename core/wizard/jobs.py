"""Jobs of a session: launched at most once under a name, adopted after a crash, followed to their end."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from core.errors import DeadlineError, Interrupted, StepFailed, UsageError
from core.wizard.journal import Journal
from provisioning.job import Job, JobStatus
from provisioning.target import Target

OnEvent = Callable[[dict[str, Any]], None]
LEAVE = "leave"
"""Message of a cancellation that lets jobs go on."""


class JobKeeper:
    """Launches the jobs of one step and remembers them in the journal before and after."""

    def __init__(self, journal: Journal, targets: Mapping[str, Target], session: str, step: str, key: str) -> None:
        self._journal, self._targets = journal, targets
        self._session, self._step, self._key = session, step, key

    def name(self, purpose: str) -> str:
        """The name of a job of this step: the same for the same inputs."""
        return f"{self._session}-{self._step}-{self._key[:8]}" + (f"-{purpose}" if purpose else "")

    def target(self, name: str = "local") -> Target:
        """A place to run jobs. Raises UsageError for one this machine does not offer."""
        if name not in self._targets:
            raise UsageError(f"there is no place {name!r} to run jobs; known: {', '.join(self._targets)}")
        return self._targets[name]

    async def launch(self, job: Job, target: str = "local") -> str:
        """Start a job, or adopt the one of its name; its id. `job.name` is the purpose and becomes the full name."""
        job = replace(job, name=self.name(job.name))
        self._journal.launching(job.name, self._step, self._key, target)
        id = await asyncio.to_thread(self.target(target).submit, job)
        self._journal.launched(job.name, id)
        return id

    async def run(self, job: Job, on_event: OnEvent, target: str = "local") -> JobStatus:
        """Launch a job and follow it to its end.

        `on_event` gets each line of its event stream from the beginning, also of the part that ran before an interruption. Cancelling
        the task stops the job; cancelling it with the message LEAVE only stops following. Raises StepFailed, DeadlineError or Interrupted
        when the job did not succeed.
        """
        id = await self.launch(job, target)
        place = self.target(target)
        leave = threading.Event()
        try:
            await asyncio.to_thread(_follow, place, id, on_event, leave)
        except asyncio.CancelledError as error:
            leave.set()
            if error.args != (LEAVE,):
                await asyncio.to_thread(place.cancel, id)
                self._journal.job_ended(self.name(job.name), "stopped")
            raise
        status = await asyncio.to_thread(place.status, id)
        self._journal.job_ended(self.name(job.name), status.state)
        _raise_unless_succeeded(status, job)
        return status

    async def fetch(self, id: str, paths: list[str], into: Path, target: str = "local") -> None:
        """Bring files of a job's folder here."""
        await asyncio.to_thread(self.target(target).fetch, id, paths, into)


def _follow(target: Target, id: str, on_event: OnEvent, leave: threading.Event) -> None:
    for chunk in target.follow(id):
        if leave.is_set():
            return
        for line in chunk.data.splitlines():
            try:
                event = json.loads(line)
            except ValueError:
                continue  # a program may print what is no event
            if isinstance(event, dict):
                on_event(event)


def _raise_unless_succeeded(status: JobStatus, job: Job) -> None:
    if status.state == "succeeded":
        return
    detail = f": {status.detail}" if status.detail else ""
    if status.state == "timed_out":
        raise DeadlineError(f"the job was stopped after its limit of {job.limit_seconds / 60:.0f} minutes{detail}")
    if status.state == "interrupted":
        raise Interrupted(f"the job ended without saying how{detail}; run again to continue from its last checkpoint")
    if status.state == "stopped":
        raise Interrupted("the job was stopped; run again to continue from its last checkpoint")
    raise StepFailed(f"the job failed{detail}")
