"""The report of a session: gathered from whatever is done so far, written into its folder."""

from __future__ import annotations

import contextlib
import os
import platform
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeVar

from core.assistant.source import read_yaml
from core.atomic import write_atomically
from core.e2e.redaction import KEY, Redactor
from core.errors import CalmtuneError
from core.evaluation.report import Report, as_html, as_json, as_markdown
from core.evaluation.report_content import (
    GateLine,
    Outcome,
    Reproducibility,
    Spent,
    StepLine,
    Training,
    Verdict,
)
from core.training.bundle import ModelArtifact
from core.wizard import answers as answering
from core.wizard import recipe
from core.wizard import report_parts as parts
from core.wizard.rents import usd_by_step
from core.wizard.session import Session, StepStatus
from core.wizard.spending import spent_by_step
from core.wizard.step import Gate

FORMATS: Mapping[str, Callable[[Report], str]] = {"html": as_html, "md": as_markdown, "json": as_json}
"""Suffix → what writes a report so."""
LIBRARIES = (
    "torch", "transformers", "trl", "peft", "accelerate", "datasets", "vllm", "openai", "pydantic", "jinja2", "textual",
)  # fmt: skip
_UNREADABLE = (KeyError, TypeError, ValueError, AttributeError, IndexError, AssertionError, OSError, CalmtuneError)
"""What a summary of another version, or a file that is gone, may raise."""
_MADE_UP_NAME = re.compile(r"^(\d{8}-\d{6}-.*|placeholder_default)$")
_NO_TEXT = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
"""Control characters and halves of characters, which no reader of a report can show."""
_PASSWORD = re.compile(r"(?<=://)[^\s/@:]+:[^\s/@]+(?=@)")
"""A name with its password in an address."""
_T = TypeVar("_T")


def write_report(session: Session) -> Path:
    """Write report.html, report.md and report.json into the session's folder; returns the first. Raises OSError."""
    report = report_of(session)
    for suffix, written in FORMATS.items():
        write_atomically(session.folder / f"report.{suffix}", written(report))
    return session.folder / "report.html"


def report_of(session: Session) -> Report:
    """What a session has to tell, done or not; parts that cannot be read are named in `left_out`."""
    statuses = {status.step: status for status in session.statuses()}
    done = {id: status for id, status in statuses.items() if status.outputs is not None}
    gathered = _Gathered()
    steps = _steps(session, statuses.values())
    gates = tuple(
        _gate(_title(id), gate) for id, status in done.items() if status.outputs for gate in status.outputs.gates
    )
    evaluations = [
        gathered.of(done, id, lambda status: parts.evaluation(status, _title(status.step)))
        for id in ("evaluation", "production")
    ]
    dollars, machines = spent_by_step(session.journal), usd_by_step(session.journal)
    report = Report(
        _assistant_name(session),
        session.id,
        datetime.now().astimezone().isoformat(timespec="minutes"),
        _version("calmtune") or "unknown",
        verdict_of(list(statuses.values()), gates),
        steps,
        _reproducibility(session, done, gathered),
        gates,
        tuple(found for found in evaluations if found is not None),
        _training(done, gathered),
        gathered.of(done, "coverage", parts.coverage),
        gathered.of(done, "dataset", parts.dataset),
        gathered.of(done, "deployment", lambda status: parts.deployment(status, statuses["connection"])),
        tuple(
            Spent(line.title, line.seconds, dollars.get(line.id), machines.get(line.id), parts.foretold(done.get(line.id)))
            for line in steps
            if line.seconds is not None or line.id in dollars or line.id in machines
        ),
        tuple(gathered.left_out),
    )
    cleaned: Report = _cleaned(report, Redactor(os.environ))
    return cleaned


def _steps(session: Session, statuses: Iterable[StepStatus]) -> tuple[StepLine, ...]:
    took = {(run.step, run.key): run.ended - run.began for run in session.journal.runs() if run.ended is not None}
    return tuple(
        StepLine(
            status.step,
            _title(status.step),
            status.state,
            "" if status.done else status.reason,
            took.get((status.step, status.key or "")),
        )
        for status in statuses
    )


class _Gathered:
    """Parts as far as they can be read; a report without one of them is better than none."""

    def __init__(self) -> None:
        self.left_out: list[str] = []

    def part(self, title: str, read: Callable[[], _T]) -> _T | None:
        try:
            return read()
        except _UNREADABLE as error:
            self.left_out.append(f"What {title} left could not be read ({type(error).__name__}: {error}).")
            return None

    def of(self, done: Mapping[str, StepStatus], id: str, read: Callable[[StepStatus], _T]) -> _T | None:
        return self.part(_title(id), lambda: read(done[id])) if id in done else None


def verdict_of(statuses: Sequence[StepStatus], gates: Sequence[GateLine]) -> Verdict:
    """Ready once the final model passed all gates there are; what comes later only serves it."""
    failed = [f"{gate.name} {gate.measured}, required {gate.required}" for gate in gates if not gate.passed]
    if failed:
        return Verdict("failed", f"Gates failed: {'; '.join(failed)}")
    state = {status.step: status.state for status in statuses}
    if state.get("production") == "fresh":
        unsure = sum(gate.verdict == "inconclusive" for gate in gates)
        served = " It is deployed and connected." if state.get("connection") == "fresh" else ""
        doubt = f" ({unsure} of them without certainty)" if unsure else ""
        return Verdict("ready", f"Ready to deploy: all {len(gates)} gates passed{doubt}.{served}")
    done = sum(status.done for status in statuses)
    count = "no step is" if done == 0 else f"{done} of {len(statuses)} steps are"
    following = next(status for status in statuses if not status.done)
    why = "" if following.state in ("ready", "blocked") else f", which {_WHICH.get(following.state, following.state)}"
    reason = f": {following.reason}" if following.reason and why else ""
    return Verdict("unfinished", f"Unfinished: {count} done; next is {_title(following.step)}{why}{reason}")


_WHICH = {"failed": "failed", "stale": "is out of date", "interrupted": "was interrupted", "running": "is running"}


def _gate(title: str, gate: Gate) -> GateLine:
    verdict: Outcome = parts.outcome(getattr(gate, "verdict", "")) or ("pass" if gate.passed else "fail")
    return GateLine(
        title, gate.name, gate.required, gate.measured, gate.passed, verdict, getattr(gate, "detail", "") or ""
    )


def _training(done: Mapping[str, StepStatus], gathered: _Gathered) -> Training | None:
    """The training of step 3, and the curve of the final one beside it."""
    found = gathered.of(done, "training", parts.training)
    if found is None or "production" not in done:
        return found
    production = done["production"]
    curve = gathered.part(
        _title("production"),
        lambda: parts.loss_curve(
            parts.file_of(production, "metrics", "metrics.jsonl"), f"Loss: {_title('production')}"
        ),
    )
    return replace(found, curves=(*found.curves, curve)) if curve is not None else found


def _reproducibility(session: Session, done: Mapping[str, StepStatus], gathered: _Gathered) -> Reproducibility:
    recorded: dict[str, str] = {}
    files: dict[str, str] = {}
    settings: dict[str, str] = {}
    model = done.get("production") or done.get("training")
    if model is not None and "manifest" in model.outputs.files:  # type: ignore[union-attr]
        manifest = gathered.part(_title(model.step), lambda: _manifest(model)) or {}
        files = {str(name): str(sum_) for name, sum_ in manifest.get("files", {}).items()}
        settings = {name: _shown(value) for name, value in manifest.get("settings", {}).items()}
        recorded = {str(name): str(of) for name, of in (manifest.get("versions") or {}).items()}
    here = {name: of for name in LIBRARIES if (of := _version(name)) is not None}
    facts = {
        "calmtune": _version("calmtune") or "unknown",
        "Python": recorded.pop("python", platform.python_version()),
        "System": f"{platform.system()} {platform.machine()}",
        "Libraries are those of": "the training" if recorded else "the machine that wrote this report",
        "Session": session.id,
    }
    seed = gathered.part("the answers", lambda: session.model(answering.SESSION).seed)
    if seed is not None:
        facts["Seed"] = str(seed)
    return Reproducibility(
        facts,
        recorded or here,
        settings,
        {_title(id): status.outputs.digest for id, status in done.items()},  # type: ignore[union-attr]
        files,
        answering.written(session.answers),
    )


def _manifest(status: StepStatus) -> dict[str, Any]:
    return ModelArtifact(
        parts.file_of(status, "model", "model"), parts.file_of(status, "manifest", "manifest.json")
    ).read_manifest()


def _assistant_name(session: Session) -> str:
    """Its id in config.yml where a person chose that, else the name of its folder."""
    folder = Path(str(session.answers.get(answering.SESSION, {}).get("assistant") or session.id))
    for name in ("config.yml", "config.yaml"):
        with contextlib.suppress(CalmtuneError, OSError, AttributeError):
            if (folder / name).is_file():
                given = read_yaml(folder / name, name).get("assistant_id")
                if isinstance(given, str) and given.strip() and not _MADE_UP_NAME.match(given):
                    return given
    return folder.name


def _title(id: str) -> str:
    return recipe.step(id).title


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _shown(value: Any) -> str:
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _cleaned(value: Any, redact: Redactor) -> Any:
    """The same with all texts free of keys and of what cannot be shown."""
    if isinstance(value, str):
        return _PASSWORD.sub("********", KEY.sub("********", redact(_NO_TEXT.sub("\ufffd", value))))
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{field.name: _cleaned(getattr(value, field.name), redact) for field in fields(value)})
    if isinstance(value, tuple):
        return tuple(_cleaned(one, redact) for one in value)
    if isinstance(value, Mapping):
        return {_cleaned(name, redact): _cleaned(one, redact) for name, one in value.items()}
    return value
