"""A CALM project on disk, read as a whole."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from core.assistant.domain import Domain
from core.assistant.domain_reader import DomainReader
from core.assistant.flow_reader import read_flows
from core.assistant.flows import CollectStep, Flow
from core.assistant.inventory import Feature, Part, inventory, warnings
from core.assistant.reach import unreached
from core.assistant.settings import Settings, read_settings
from core.assistant.source import Reader, YamlMapping, read_yaml
from core.assistant.validate import validate
from core.collector import without_collector
from core.errors import Problem, ProblemsError, UsageError, errors_among

_SUFFIXES = (".yml", ".yaml")
_TRAINING_DATA = ("nlu", "stories", "rules")
"""Top-level keys of files beside flows that other parts of Rasa read."""


@dataclass(frozen=True)
class Assistant:
    """A CALM assistant."""

    root: Path
    flows: Mapping[str, Flow]
    """The owner's flows and pattern overrides by id, in order of the files."""
    domain: Domain
    settings: Settings
    warnings: tuple[Problem, ...] = ()

    @cached_property
    def business_flows(self) -> tuple[Flow, ...]:
        """Flows without the patterns."""
        return tuple(flow for flow in self.flows.values() if not flow.is_pattern)

    def called_flows(self, flow_id: str) -> tuple[str, ...]:
        """Ids of the flows a flow calls, directly or not, in order of the first call."""
        found: dict[str, None] = {}
        queue = [flow_id]
        while queue:
            for call in self.flows[queue.pop(0)].calls():
                if call.flow in self.flows and call.flow != flow_id and call.flow not in found:
                    found[call.flow] = None
                    queue.append(call.flow)
        return tuple(found)

    def collects_of(self, flow_id: str) -> tuple[CollectStep, ...]:
        """Collect steps of a flow and then of the flows it calls, in document order."""
        return tuple(step for id in (flow_id, *self.called_flows(flow_id)) for step in self.flows[id].collects())


@dataclass(frozen=True)
class Reading:
    """A project as far as it can be read."""

    assistant: Assistant
    """What could be read of it; runs only when there are no errors."""
    problems: tuple[Problem, ...]
    """Errors and warnings, by file and line."""
    features: tuple[Feature, ...]
    """What it uses of CALM."""

    @property
    def errors(self) -> tuple[Problem, ...]:
        return errors_among(self.problems)


@without_collector()
def load_assistant(root: Path) -> Assistant:
    """Read and check a project folder. Raises ProblemsError with all errors of all files, UsageError when it is no assistant."""
    reading = read_assistant(root)
    if reading.errors:
        raise ProblemsError(reading.errors)
    return reading.assistant


def read_assistant(root: Path) -> Reading:
    """Read a project folder whatever is wrong with it.

    Flows: every YAML file below `data/` (else `flows/`, `data.yml`, `flows.yml`) with a top-level `flows`. Domain: `domain.yml` or
    a `domain/` tree. Settings: `config.yml`, `endpoints.yml`. Raises UsageError when the folder is no assistant.
    """
    if not root.is_dir():
        raise UsageError(
            f"{root} is not a folder; give the folder of the assistant, where config.yml and domain.yml are"
        )
    folder = _Folder(root)
    flow_files = folder.files("data", "flows", "data.yml", "data.yaml", "flows.yml", "flows.yaml")
    domain_files = folder.files("domain.yml", "domain.yaml", "domain")
    if not flow_files and not domain_files:
        raise UsageError(
            f"{root} holds no assistant: neither flows (data/, flows/, flows.yml) nor a domain (domain.yml, domain/) found"
        )
    flows = _read_flow_files(flow_files, folder)
    domain = DomainReader(folder.problems)
    for path in domain_files:
        domain.add(folder.read(path), folder.shown(path))
    if not domain_files:
        folder.incomplete(
            "domain.yml", "there is no domain; write domain.yml or a folder domain/ with slots and responses"
        )
    settings = _read_settings_files(folder)
    if folder.is_complete:  # else names would seem unknown that stand in what could not be read
        agents = [path.parent.name for path in folder.agents()]
        folder.problems += [*validate(flows, domain.domain, agents), *unreached(flows, domain.domain)]
    features = inventory(_parts(folder, flow_files, domain_files))
    problems = tuple(sorted({*folder.problems, *warnings(features)}))
    told = tuple(problem for problem in problems if problem.severity != "error")
    return Reading(Assistant(root, flows, domain.domain, settings, told), problems, tuple(features))


def _parts(folder: _Folder, flow_files: Iterable[Path], domain_files: Iterable[Path]) -> Iterator[Part]:
    """The files an inventory is made of."""
    groups = {"flows": flow_files, "domain": domain_files, "agent": folder.agents()}
    groups |= {kind: folder.files(f"{kind}.yml", f"{kind}.yaml") for kind in ("config", "endpoints", "credentials")}
    for kind, paths in groups.items():
        yield from (Part(kind, folder.shown(path), folder.read(path)) for path in paths)


class _Folder:
    """The YAML files of a project, and the problems found in them so far."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.problems: list[Problem] = []
        self.is_complete = True
        self._contents: dict[Path, Any] = {}

    def files(self, *names: str) -> list[Path]:
        """YAML files of the first of several files or folders that has any; others are reported, hidden ones left aside."""
        found = {name: files for name in names if (files := self._yaml(self.root / name))}
        for name in list(found)[1:]:
            message = f"it is left aside: {next(iter(found))} is there and is read instead"
            self.problems.append(Problem(name, 0, message, "warning"))
        return next(iter(found.values()), [])

    def agents(self) -> list[Path]:
        """Configuration files of the sub-agents, one a folder."""
        return [path for path in self._yaml(self.root / "sub_agents") if path.stem == "config"]

    def _yaml(self, path: Path) -> list[Path]:
        found = [path] if path.is_file() else sorted(path.rglob("*"))
        return [file for file in found if file.suffix in _SUFFIXES and file.is_file() and "/." not in self.shown(file)]

    def shown(self, path: Path) -> str:
        """The path as problems name it."""
        return path.relative_to(self.root).as_posix()

    def read(self, path: Path) -> Any:
        """The content; None for an empty or unreadable file. What is wrong with it is reported once."""
        if path not in self._contents:
            self._contents[path] = None
            try:
                self._contents[path] = read_yaml(path, self.shown(path))
            except ProblemsError as error:
                self.problems += error.problems
                self.is_complete = False
        return self._contents[path]

    def incomplete(self, file: str, message: str) -> None:
        """Report that a part of the project is missing."""
        self.problems.append(Problem(file, 0, message))
        self.is_complete = False


def _read_flow_files(paths: Iterable[Path], folder: _Folder) -> dict[str, Flow]:
    flows: dict[str, Flow] = {}
    declared = False
    aside: list[Problem] = []
    for path in paths:
        content, file = folder.read(path), folder.shown(path)
        if not isinstance(content, YamlMapping):
            if content is not None:
                message = "it is left aside: a file of flows is a mapping with `flows` at its top"
                folder.problems.append(Problem(file, 1, message, "warning"))
            continue
        aside += [
            Problem(file, content.line_of(key), "nlu, stories and rules are left aside; flows run without", "warning")
            for key in _TRAINING_DATA
            if key in content
        ]
        declared = declared or "flows" in content
        for flow in read_flows(content, Reader(file, folder.problems)):
            if flow.id in flows:
                first = flows[flow.id].lines
                message = f"flow {flow.id} is defined twice (first in {first.file}:{first.first})"
                folder.problems.append(Problem(file, flow.lines.first, message))
            flows.setdefault(flow.id, flow)
    folder.problems += aside[:1]
    if all(flow.is_pattern for flow in flows.values()) and not errors_among(folder.problems):
        what = "`flows` holds no flow of its own" if declared else "no file with a top-level `flows` was found"
        folder.incomplete("data", f"{what}; an assistant needs at least one flow")
    return flows


def _read_settings_files(folder: _Folder) -> Settings:
    readers, contents = [], []
    for name in ("config", "endpoints"):
        found = folder.files(f"{name}.yml", f"{name}.yaml")
        readers.append(Reader(folder.shown(found[0]) if found else f"{name}.yml", folder.problems))
        contents.append(folder.read(found[0]) if found else None)
        if not found and name == "config":
            readers[0].warn(0, "there is no config.yml; defaults are used")
    return read_settings(contents[0], contents[1], folder.root, readers[0], readers[1])
