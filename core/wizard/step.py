"""The contract of a step of the recipe."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from pydantic import BaseModel

from core.wizard.events import StepEvent

if TYPE_CHECKING:
    from core.wizard.jobs import JobKeeper  # brings asyncio, which commands that only look do without


@dataclass(frozen=True)
class Gate:
    """A bar the result of a step must reach."""

    name: str
    required: str
    """As shown: "≥ 90 %"."""
    measured: str
    passed: bool
    verdict: str = ""
    """What the measurement proves where it is a sample: pass, fail or inconclusive; "" elsewhere."""
    detail: str = ""
    """A sentence beside it."""


@dataclass(frozen=True)
class Outputs:
    """What a step leaves behind."""

    summary: Mapping[str, Any]
    """JSON-ready facts: shown on the result screen, read by the steps below, part of the digest."""
    files: Mapping[str, str] = field(default_factory=dict)
    """Name → path relative to the step's run folder. Steps below read them through `Context.upstream`."""
    gates: Sequence[Gate] = ()
    digest: str = ""
    """SHA-256 over what the steps below depend on; the session computes it from summary and files when empty."""
    jobs: Mapping[str, str] = field(default_factory=dict)
    """Job id → target of the jobs that must go on running for these outputs to be true, such as a model server."""

    @property
    def passed(self) -> bool:
        return all(gate.passed for gate in self.gates)


@dataclass(frozen=True)
class Upstream:
    """A finished step above: its outputs and where its files are."""

    outputs: Outputs
    folder: Path

    def path(self, name: str) -> Path:
        """Absolute path of a named output file; KeyError when the step wrote none of that name."""
        return self.folder / self.outputs.files[name]


@dataclass
class Context:
    """What a step may use while it runs."""

    answers: Any
    """The step's own pydantic model, validated."""
    shared: Any
    """Answers that belong to the session as a whole (assistant's folder, tests, compute)."""
    upstream: Mapping[str, Upstream]
    """Finished steps above, by step id."""
    folder: Path
    """Write here; renamed into place by the session when the step is done. On resume it holds what was there before."""
    emit: Callable[[StepEvent], None]
    """Report an event; cheap, may be called from any thread."""
    jobs: JobKeeper


class Step(Protocol):
    """One step of the recipe."""

    id: ClassVar[str]
    version: ClassVar[int]
    """Raised when the same inputs would give other outputs."""
    title: ClassVar[str]
    purpose: ClassVar[str]
    """One sentence for the screen: what this step does and why."""
    upstream: ClassVar[tuple[str, ...]]
    """Ids of the steps whose outputs it reads."""
    shared: ClassVar[tuple[str, ...]]
    """Fields of the session's answers that its outcome depends on."""
    answers: ClassVar[type[BaseModel]]
    """Questions: fields with title, description (help) and, in json_schema_extra, unit and `cosmetic` (not in the key)."""

    def reads(self, shared: Any, answers: Any) -> Sequence[Path]:
        """Files and folders outside the session whose content the step depends on."""
        ...

    async def run(self, context: Context) -> Outputs:
        """Do the work. Raises CalmtuneError with a sentence; a failed gate is not an error but a Gate in Outputs."""
        ...
