"""A CALM project on disk, read as a whole."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from core.assistant.domain import Domain
from core.assistant.domain_reader import DomainReader
from core.assistant.flow_reader import read_flows
from core.assistant.flows import CollectStep, Flow
from core.assistant.settings import Settings, read_settings
from core.assistant.source import Reader, YamlMapping, read_yaml, without_collector
from core.assistant.validate import validate
from core.errors import Problem, ProblemsError, UsageError

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


@without_collector()
def load_assistant(root: Path) -> Assistant:
    """Read and check a project folder.

    Flows: every YAML file below `data/` (else `flows/`, `data.yml`, `flows.yml`) with a top-level `flows`. Domain: `domain.yml` or
    a `domain/` tree. Settings: `config.yml`, `endpoints.yml`. Raises ProblemsError with all errors of all files, UsageError when the
    folder is no assistant.
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
        folder.problems += validate(flows, domain.domain)
    errors = [problem for problem in folder.problems if problem.severity == "error"]
    if errors:
        raise ProblemsError(errors)
    return Assistant(root, flows, domain.domain, settings, tuple(sorted(set(folder.problems))))


class _Folder:
    """The YAML files of a project, and the problems found in them so far."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.problems: list[Problem] = []
        self.is_complete = True

    def files(self, *names: str) -> list[Path]:
        """YAML files of the first of several files or folders that has any; hidden ones are left aside."""
        for name in names:
            path = self.root / name
            found = [path] if path.is_file() else sorted(path.rglob("*"))
            files = [
                file for file in found if file.suffix in _SUFFIXES and file.is_file() and "/." not in self.shown(file)
            ]
            if files:
                return files
        return []

    def shown(self, path: Path) -> str:
        """The path as problems name it."""
        return path.relative_to(self.root).as_posix()

    def read(self, path: Path) -> Any:
        """The content; None for an empty or unreadable file."""
        try:
            return read_yaml(path, self.shown(path))
        except ProblemsError as error:
            self.problems += error.problems
            self.is_complete = False
            return None

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
    if all(flow.is_pattern for flow in flows.values()) and not any(p.severity == "error" for p in folder.problems):
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
