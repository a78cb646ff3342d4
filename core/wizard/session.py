"""Sessions: one folder each, statuses derived from the journal, nothing lost.

<home>/<id>/session.db     the journal
<home>/<id>/answers.yml    the answers as a file that repeats them headless
<home>/<id>/runs/<step>-<key12>/   outputs of a finished run; `.partial` while it is under way

A session.db that is damaged or gone is made again from the other two.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from core.atomic import write_atomically
from core.errors import StepFailed, UsageError
from core.wizard import answers as answering
from core.wizard import digest
from core.wizard.answers import SESSION
from core.wizard.inputs import difference, same
from core.wizard.journal import DamagedError, Journal
from core.wizard.rebuild import RUN, rebuild, refuse_empty
from core.wizard.recipe import STEP_IDS, step
from core.wizard.rents import spent
from core.wizard.step import Gate, Outputs, Step, Upstream
from provisioning.place_names import SKYSERVE
from provisioning.places import Places
from provisioning.terms import Terms

State = Literal["fresh", "gate failed", "stale", "running", "interrupted", "failed", "ready", "blocked"]
Answers = Mapping[str, Mapping[str, Any]]
"""Answers by section."""
_OUTPUTS = "outputs.json"
_WRITTEN = ("session.db", "answers.yml")


@dataclass(frozen=True)
class StepStatus:
    """Where a step stands, and why."""

    step: str
    state: State
    reason: str = ""
    """A sentence fragment: what changed, what is waited for, what went wrong."""
    key: str | None = None
    """Key under present answers; None while a step above has no outputs."""
    outputs: Outputs | None = None
    folder: Path | None = None

    @property
    def done(self) -> bool:
        return self.state in ("fresh", "gate failed")


class Session:
    """One walk through the recipe. Open with `create` or `open`; close when done."""

    targets: Places
    """Where its jobs run, by name."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.id = folder.name
        self.journal = Journal(folder / "session.db")
        self.targets = Places(folder / "jobs", lambda: (job.target for job in self.journal.jobs()), self._terms, self._left_usd)
        self.holder = f"{socket.gethostname()}:{_boot_id()}:{os.getpid()}"
        self.read_only = False
        self.notice: str | None = None
        self._closed = False

    @classmethod
    def create(cls, home: Path, name: str | None = None) -> Session:
        """A new session below `home`; raises UsageError when the name is taken or no folder name."""
        if name is not None and not re.fullmatch(r"[\w][\w.-]{0,60}", name):
            raise UsageError(f"{name!r} cannot name a session; use letters, digits, - and _")
        folder = home / (name or time.strftime("%Y%m%d-%H%M%S"))
        for number in range(2, 100):
            if not folder.exists():
                break
            if name is not None:
                raise UsageError(f"there is a session {name} already; continue it with `calmtune resume {name}`")
            folder = folder.with_name(f"{folder.name.split('_')[0]}_{number}")
        folder.mkdir(parents=True, mode=0o700)
        return cls(folder).take()

    @classmethod
    def open(cls, folder: Path) -> Session:
        """An existing session. Raises UsageError when the folder holds none."""
        if not is_session(folder):
            raise UsageError(f"{folder} is no session; `calmtune sessions` lists those that are here")
        try:
            refuse_empty(folder)
            session, rebuilt = cls(folder), None
        except DamagedError:
            rebuilt = rebuild(folder)
            session = cls(folder)
        session.take()
        session.notice = rebuilt or session.notice
        if not session.read_only:
            session._settle()
        return session

    def take(self) -> Session:
        """Become the one process that may change the session; otherwise it is read-only."""
        try:
            replaced = self.journal.take_lease(self.holder, _is_dead)
        except StepFailed as error:
            self.read_only, self.notice = True, f"{error}; until then it can only be looked at here"
            return self
        self.read_only = replaced is None
        if self.read_only:
            self.notice = "another calmtune process has this session open; it can only be looked at here"
        elif replaced:
            self.notice = "the process that had this session open is gone; it was taken over"
        return self

    def close(self) -> None:
        """Give the session free for others. Idempotent."""
        if self._closed:
            return
        self._closed = True
        self.targets.close()
        if not self.read_only:
            self.journal.drop_lease(self.holder)
        self.journal.close()

    def _settle(self) -> None:
        """Finish what a killed process left between renaming its outputs and writing so down."""
        for run in self.journal.runs():
            if run.state == "begun" and (left := _left_outputs(self._run_folder(run.step, run.key))) is not None:
                self.journal.finish_run(run.step, run.key, left)

    # Answers

    @property
    def answers(self) -> dict[str, dict[str, Any]]:
        """Answers given so far, by section; defaults are not among them."""
        return self.journal.answers()

    def answer(self, section: str, given: Mapping[str, Any]) -> None:
        """Take over the answers of a section (all of them). Raises UsageError when one is wrong or the session is read-only."""
        self._require_write()
        answering.validate(section, given, "answers")
        self.journal.set_answers(section, given)
        write_atomically(self.folder / "answers.yml", answering.written(self.answers))

    def model(self, section: str, answers: Answers | None = None) -> Any:
        """The answers of a section with defaults. Raises UsageError while a required one is missing."""
        return answering.validate(section, (self.answers if answers is None else answers).get(section, {}), "answers")

    @property
    def assistant(self) -> Path:
        return Path(self.model(SESSION).assistant)

    # Status

    def status(self, id: str) -> StepStatus:
        """Status of one step under the present answers."""
        return self.statuses()[STEP_IDS.index(id)]

    def statuses(self, answers: Answers | None = None) -> list[StepStatus]:
        """Status of every step, in order; with other answers than the given ones, what it would be."""
        answers = self.answers if answers is None else answers
        if not answers.get(SESSION, {}).get("assistant"):  # begun, and left before the first answer
            unnamed = f"no assistant is named; `calmtune run --session {self.id} --set assistant=PATH` does"
            return [StepStatus(id, "blocked", unnamed) for id in STEP_IDS]
        found: dict[str, StepStatus] = {}
        for id in STEP_IDS:
            found[id] = self._status(step(id), found, answers)
        return list(found.values())

    @property
    def frontier(self) -> str:
        """The first step that is not fresh; the last step when all are."""
        return next((status.step for status in self.statuses() if status.state != "fresh"), STEP_IDS[-1])

    def _status(self, it: Step, above: Mapping[str, StepStatus], answers: Answers) -> StepStatus:
        waiting = [id for id in it.upstream if above[id].state != "fresh"]
        runs = self.journal.runs(it.id)
        if waiting:
            return StepStatus(it.id, "blocked", _waits_for(above[waiting[0]]))
        inputs = self._inputs(it, {id: status for id, status in above.items() if status.outputs}, answers)
        run = next((run for run in runs if same(it, run.inputs, inputs)), None)
        if run is None:
            changed = difference(it, runs[0].inputs, inputs) if runs else ""
            return StepStatus(it.id, "stale" if runs else "ready", changed, digest.of_value(inputs))
        key = run.key
        folder = self._run_folder(it.id, key)
        if run.state == "done":
            if not (folder / _OUTPUTS).is_file():
                return StepStatus(it.id, "stale", "its files are gone", key)
            outputs = read_outputs(run.outputs or {})
            if ended := self._ended(outputs):
                return StepStatus(it.id, "stale", f"{ended} ended; it can be started again", key)
            return StepStatus(
                it.id, "fresh" if outputs.passed else "gate failed", _gates(outputs), key, outputs, folder
            )
        if run.state == "failed":
            return StepStatus(it.id, "failed", run.error or "", key)
        if self.read_only or self.running_here == it.id:
            return StepStatus(it.id, "running", "", key)
        return StepStatus(it.id, "interrupted", "not finished; it goes on where it was", key)

    def _ended(self, outputs: Outputs) -> str | None:
        """A job that should still run for these outputs to be true, and does not."""
        for job, target in outputs.jobs.items():
            if target.partition(":")[0] == SKYSERVE:  # asking it takes seconds: the journal says what was last seen
                if not any(one.id == job and one.state == "launched" for one in self.journal.jobs()):
                    return f"service {job}"
                continue
            try:
                if self.targets[target].status(job).state != "running":
                    return f"job {job}"
            except UsageError:
                return f"job {job}"
        return None

    def inputs(self, id: str) -> dict[str, Any]:
        """What a step would be run with now; steps above must be fresh."""
        return self._inputs(
            step(id), {status.step: status for status in self.statuses() if status.outputs}, self.answers
        )

    running_here: str | None = None
    """Id of the step this process is running."""

    def _inputs(self, it: Step, above: Mapping[str, StepStatus], given: Answers) -> dict[str, Any]:
        """Everything that decides a step's outcome: what its key is made of."""
        answers = self.model(it.id, given)
        shared = self.model(SESSION, given)
        cosmetic = {question.field for question in answering.questions(it.id) if question.cosmetic}
        return {
            "step": it.id,
            "version": it.version,
            "answers": {k: v for k, v in answers.model_dump(mode="json").items() if k not in cosmetic},
            "session": {k: v for k, v in shared.model_dump(mode="json").items() if k in it.shared},
            "files": digest.of_paths(it.reads(shared, answers)),
            "upstream": {id: above[id].outputs.digest for id in it.upstream},  # type: ignore[union-attr]
        }

    # Running

    def begin(self, status: StepStatus) -> Path:
        """Write down that a step begins; its partial folder, with what an interrupted run left there."""
        self._require_write()
        assert status.key is not None
        it = step(status.step)
        above = {other.step: other for other in self.statuses() if other.outputs}
        partial = self._run_folder(it.id, status.key).with_suffix(".partial")
        inputs = self._inputs(it, above, self.answers)
        self.journal.begin_run(it.id, status.key, inputs)
        partial.mkdir(parents=True, exist_ok=True)
        run = {"step": it.id, "key": status.key, "inputs": inputs}
        write_atomically(partial / RUN, json.dumps(run, default=str, ensure_ascii=False, indent=1))
        self.running_here = it.id
        return partial

    def finish(self, status: StepStatus, outputs: Outputs) -> StepStatus:
        """Move the outputs into place and write down that the step is done."""
        assert status.key is not None
        final = self._run_folder(status.step, status.key)
        partial = final.with_suffix(".partial")
        body = asdict(outputs) | {"digest": outputs.digest or digest.of_outputs(partial, outputs.files)}
        write_atomically(partial / _OUTPUTS, json.dumps(body, default=str, ensure_ascii=False, indent=1))
        if final.exists():
            shutil.rmtree(final)
        os.replace(partial, final)
        self.journal.finish_run(status.step, status.key, json.loads((final / _OUTPUTS).read_text(encoding="utf-8")))
        self.running_here = None
        return self.status(status.step)

    def fail(self, status: StepStatus, error: str, unknown: bool = False) -> None:
        """Write down that a step failed; `unknown` leaves it interrupted."""
        assert status.key is not None
        self.running_here = None
        if not unknown:
            self.journal.fail_run(status.step, status.key, error)

    def forget(self, status: StepStatus) -> None:
        """Make a step run again although nothing changed."""
        self._require_write()
        if status.key is not None:
            it, inputs = step(status.step), self.inputs(status.step)
            for run in self.journal.runs(it.id):
                if same(it, run.inputs, inputs):
                    self.journal.forget_run(it.id, run.key)
                    shutil.rmtree(self._run_folder(it.id, run.key), ignore_errors=True)

    def upstream(self, it: Step, answers: Answers | None = None) -> dict[str, Upstream]:
        """Outputs of the finished steps a step reads; with other answers than the given ones, what they would be."""
        statuses = {status.step: status for status in self.statuses(answers)}
        found = {}
        for id in it.upstream:
            status = statuses[id]
            assert status.outputs is not None
            assert status.folder is not None
            found[id] = Upstream(status.outputs, status.folder)
        return found

    def _terms(self) -> Terms:
        """On which terms this session rents machines."""
        shared = self.model(SESSION)
        gpu_types = tuple(name.strip() for name in shared.cloud_gpus.split(","))
        return Terms(gpu_types, shared.cloud_spot, shared.cloud_usd_per_hour, shared.cloud_idle_minutes)

    def _left_usd(self) -> float | None:
        """What is left of the budget for rented machines; None without one."""
        budget: float | None = self.model(SESSION).cloud_budget_usd
        return None if budget is None else budget - spent(self.journal)

    def unreachable_runs(self) -> list[Path]:
        """Run folders that no present answer leads to."""
        kept = {self._run_folder(status.step, status.key) for status in self.statuses() if status.key}
        folders = (self.folder / "runs").glob("*") if (self.folder / "runs").is_dir() else []
        return sorted(folder for folder in folders if folder.with_suffix("") not in kept)

    def _run_folder(self, id: str, key: str) -> Path:
        return self.folder / "runs" / f"{id}-{key[:12]}"

    def _require_write(self) -> None:
        if self.read_only:
            raise UsageError(self.notice or "this session can only be looked at")


def sessions_in(home: Path) -> list[Path]:
    """Session folders below `home`, the latest first."""
    if not home.is_dir():
        return []
    return sorted(filter(is_session, home.iterdir()), key=last_used, reverse=True)


def is_session(folder: Path) -> bool:
    """Also without its database, which is made again from the answers and the runs."""
    return any((folder / name).is_file() for name in _WRITTEN)


def last_used(folder: Path) -> float:
    """When a session was last written to, in seconds since 1970; 0 where there is none."""
    return max(((folder / name).stat().st_mtime for name in _WRITTEN if (folder / name).is_file()), default=0)


def _waits_for(first: StepStatus) -> str:
    """Why a step cannot run, given the first one above it that is not fresh."""
    if first.state == "blocked":
        return first.reason
    return f"waits for {first.step}" if first.state == "ready" else f"{first.step} is {first.state}"


def _left_outputs(folder: Path) -> dict[str, Any] | None:
    """What a run's outputs.json says; None where there is none or a crash cut it, so that the step runs again."""
    try:
        body: dict[str, Any] = json.loads((folder / _OUTPUTS).read_text(encoding="utf-8"))
        read_outputs(body)
    except (OSError, ValueError, TypeError, AttributeError):
        return None
    return body


def read_outputs(body: Mapping[str, Any]) -> Outputs:
    """Outputs as a run's outputs.json has them."""
    gates = [Gate(**gate) for gate in body.get("gates", ())]
    return Outputs(body.get("summary", {}), body.get("files", {}), gates, body.get("digest", ""), body.get("jobs", {}))


def _gates(outputs: Outputs) -> str:
    failed = [f"{gate.name} {gate.measured}, required {gate.required}" for gate in outputs.gates if not gate.passed]
    return "; ".join(failed)


def _is_dead(holder: str) -> bool:
    """True when a lease's process cannot be alive: another boot of this host, or no such process."""
    host, boot, pid = holder.rsplit(":", 2)
    if host != socket.gethostname():
        return False
    if boot != _boot_id():
        return True
    import psutil  # only a session that somebody holds needs it

    try:
        return psutil.Process(int(pid)).status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)  # killed, and its parent did not notice
    except psutil.NoSuchProcess:
        return True


def _boot_id() -> str:
    path = Path("/proc/sys/kernel/random/boot_id")
    if path.exists():
        return path.read_text().strip()
    import psutil

    return str(int(psutil.boot_time()))
