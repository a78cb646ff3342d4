"""Jobs of a session: launched at most once under a name, adopted after a crash, followed to their end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from core.errors import CalmtuneError, DeadlineError, Interrupted, ProviderError, StepFailed, UsageError
from core.wizard.events import Log
from core.wizard.journal import Journal
from core.wizard.mirror import Mirror
from provisioning.job import Job, JobStatus, Resources, UnknownJobError
from provisioning.place_names import LOCAL
from provisioning.target import RunsServices, Say, Target, silent

OnEvent = Callable[[dict[str, Any]], None]
MOST_MACHINES = 20
"""How often a job goes on on another machine when one was taken back."""
LEAVE = "leave"
"""Message of a cancellation that lets jobs go on."""
KEEP = "keep"
"""Message of a cancellation that has a job end early with what it has; one that cannot is stopped."""


def log_lines(emit: Callable[[Log], None]) -> OnEvent:
    """What tells the lines that a job logs, and leaves its other events aside."""

    def on_event(event: dict[str, Any]) -> None:
        if event.get("type") == "log":
            emit(Log(event["line"]))

    return on_event


@dataclass(frozen=True)
class Launched:
    """A job where it runs."""

    id: str
    target: Target


class JobKeeper:
    """Launches the jobs of one step and remembers them in the journal before and after."""

    def __init__(self, journal: Journal, targets: Mapping[str, Target], session: str, step: str, key: str) -> None:
        self._journal, self._targets = journal, targets
        self._session, self._step, self._key = session, step, key

    def name(self, purpose: str) -> str:
        """The name of a job of this step: the same for the same inputs."""
        return f"{self._session}-{self._step}-{self._key[:8]}" + (f"-{purpose}" if purpose else "")

    def target(self, name: str = LOCAL) -> Target:
        """A place to run jobs. Raises UsageError for one that cannot be."""
        try:
            return self._targets[name]
        except KeyError:
            raise UsageError(f"there is no place {name!r} to run jobs; write local, ssh: and a host, or sky") from None

    async def prepare(self, need: Resources, place: str, say: Say = silent) -> None:
        """Have a machine that meets the need there. Raises ProviderError or UsageError when there is none to be had."""
        await asyncio.to_thread(self.target(place).prepare, need, say)

    async def launch(self, job: Job, place: str = LOCAL, say: Say = silent) -> Launched:
        """Start a job, or adopt the one of its name. `job.name` is the purpose and becomes the full name; `say` hears what happens
        meanwhile.

        A job that was launched on another place before and still runs or has succeeded there is adopted there. Raises ProviderError
        or UsageError when that place cannot be asked: it might run twice.
        """
        job = replace(job, name=self.name(job.name))
        place = await self._settled_place(job.name, place)
        target = self.target(place)
        return await self._launch(job.name, place, partial(target.submit, job, say))

    async def serve(self, purpose: str, task: Mapping[str, Any], need: Resources, place: str, say: Say = silent) -> Launched:
        """Bring up a service, or adopt the one of its name that is asked for alike. Raises as `SkyServeTarget.serve`."""
        target = self.target(place)
        if not isinstance(target, RunsServices):
            raise UsageError(f"{target.name} runs no services; name skyserve")
        name = self.name(purpose)
        return await self._launch(name, place, partial(target.serve, name, task, need, say))

    async def _launch(self, name: str, place: str, begin: Callable[[], str]) -> Launched:
        """Write down what is launched where, before and after; when the task is cancelled meanwhile, not only left, what was begun is
        ended."""
        self._journal.launching(name, self._step, self._key, place)
        target = self.target(place)
        beginning = asyncio.ensure_future(asyncio.to_thread(begin))
        try:
            id = await asyncio.shield(beginning)
        except asyncio.CancelledError as error:
            if error.args != (LEAVE,):
                with contextlib.suppress(UnknownJobError):
                    await asyncio.to_thread(target.cancel, name)  # it may still be renting
                with contextlib.suppress(CalmtuneError):
                    await asyncio.to_thread(target.cancel, await beginning)
            raise
        self._journal.launched(name, id)
        return Launched(id, target)

    async def _settled_place(self, name: str, wanted: str) -> str:
        earlier = next((job for job in self._journal.jobs() if job.name == name), None)
        if earlier is None or earlier.target == wanted or earlier.state not in ("launching", "launched"):
            return wanted
        try:
            status = await asyncio.to_thread(self.target(earlier.target).status, earlier.id or name)
        except UnknownJobError:
            return wanted  # it never got there
        except (ProviderError, UsageError) as error:
            raise type(error)(f"{name} may still run on {earlier.target} and is not launched twice: {error}") from error
        return earlier.target if status.state in ("running", "succeeded") else wanted

    async def run(
        self, job: Job, on_event: OnEvent, place: str = LOCAL, ending: Mapping[str, str] | None = None
    ) -> Launched:
        """Launch a job and follow it to its end.

        `on_event` gets each line of its event stream from the beginning, also of the part that ran before an interruption. Cancelling
        the task stops the job; cancelling it with the message LEAVE only stops following. On machines that may vanish checkpoints are
        kept here, to go on from on another one. `ending` is the environment in which the job, stopped and started again, ends at once
        and well: that is done when the task is cancelled with the message KEEP. Raises StepFailed, DeadlineError or Interrupted when
        the job did not succeed.
        """
        mirror = Mirror(self._journal.path.parent / "mirrors" / self.name(job.name))
        told = _Told(on_event)
        for _ in range(MOST_MACHINES):
            files = {**mirror.files, **job.files}
            try:
                launched, status = await self._run(replace(job, files=files), on_event, told, place, mirror)
            except asyncio.CancelledError as error:
                task = asyncio.current_task()
                if error.args != (KEEP,) or ending is None or task is None:
                    raise
                task.uncancel()
                job = replace(job, environment={**job.environment, **ending})
                told.begin_again()
                continue
            if not (status.lost and launched.target.recovers):
                break
            told.begin_again(sum(1 for _ in _events_in(mirror.stream)))
            on_event({"type": "log", "line": "the machine was taken back; going on on another one"})
        self._journal.job_ended(self.name(job.name), status.state)
        _raise_unless_succeeded(status, job)
        mirror.drop()
        return launched

    async def _run(self, job: Job, say: OnEvent, on_event: OnEvent, place: str, mirror: Mirror) -> tuple[Launched, JobStatus]:
        """On one machine; `say` hears what launching has to tell."""
        launched = await self.launch(job, place, lambda line: say({"type": "log", "line": line}))
        leave = threading.Event()
        try:
            await asyncio.to_thread(_follow, launched, on_event, leave, mirror if launched.target.vanishes else None)
        except asyncio.CancelledError as error:
            leave.set()
            if error.args != (LEAVE,):
                await asyncio.to_thread(launched.target.cancel, launched.id)
                self._journal.job_ended(self.name(job.name), "stopped")
            raise
        await asyncio.to_thread(mirror.settle)
        return launched, await asyncio.to_thread(launched.target.status, launched.id)

    async def stop(self, purpose: str) -> None:
        """End a job of this step wherever it was launched; nothing when there is none."""
        await self._stop({self.name(purpose)})

    async def stop_every(self, purpose: str, but: str = "") -> None:
        """End the jobs of this purpose that this step has launched for any inputs, but for the one of this id."""
        running = [job for job in self._journal.jobs() if job.step == self._step and job.state in ("launching", "launched")]
        await self._stop({job.name for job in running if job.name.endswith(f"-{purpose}") and (not but or job.id != but)})

    async def _stop(self, names: Collection[str]) -> None:
        for job in [job for job in self._journal.jobs() if job.name in names]:
            with contextlib.suppress(UnknownJobError):  # it never got there
                await asyncio.to_thread(self.target(job.target).cancel, job.id or job.name)
            self._journal.job_ended(job.name, "stopped")

    async def fetch(self, job: Launched, paths: list[str], into: Path) -> None:
        """Bring files of a job's folder here."""
        await asyncio.to_thread(job.target.fetch, job.id, paths, into)


class _Told:
    """Tells events, none of them again when a stream that goes on is heard from its beginning."""

    def __init__(self, on_event: OnEvent) -> None:
        self._on_event, self._told, self._known = on_event, 0, 0

    def begin_again(self, known: int | None = None) -> None:
        """The stream begins with so many events that were told; with all of them when none is given."""
        self._told = self._told if known is None else known
        self._known = self._told

    def __call__(self, event: dict[str, Any]) -> None:
        if self._known:
            self._known -= 1
            return
        self._told += 1
        self._on_event(event)


def _follow(job: Launched, on_event: OnEvent, leave: threading.Event, mirror: Mirror | None) -> None:
    if mirror is not None:
        mirror.begin()
    for chunk in job.target.follow(job.id):
        if leave.is_set():
            return
        if mirror is not None:
            mirror.hear(chunk.data)
        for event in _events_in(chunk.data):
            on_event(event)
            if mirror is not None:
                mirror.on_event(event, job.target, job.id)


def _events_in(stream: bytes) -> Iterator[dict[str, Any]]:
    for line in stream.splitlines():
        try:
            event = json.loads(line)
        except ValueError:
            continue  # a program may print what is no event
        if isinstance(event, dict):
            yield event


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
