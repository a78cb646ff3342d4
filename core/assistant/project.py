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
from core.assistant.source import Reader, YamlMapping, read_yaml
from core.assistant.validate import validate
from core.errors import Problem, ProblemsError, UsageError

_SUFFIXES = (".yml", ".yaml")


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
    flow_files = _first_existing(root, ("data", "flows", "data.yml", "data.yaml", "flows.yml", "flows.yaml"))
    domain_files = _first_existing(root, ("domain.yml", "domain.yaml", "domain"))
    if not flow_files and not domain_files:
        raise UsageError(
            f"{root} holds no assistant: neither flows (data/, flows/, flows.yml) nor a domain (domain.yml, domain/) found"
        )
    problems: list[Problem] = []
    flows = _read_flow_files(flow_files, root, problems)
    domain = DomainReader(problems)
    for path in domain_files:
        domain.add(_read(path, root, problems), _shown(path, root))
    if not domain_files:
        problems.append(
            Problem(
                "domain.yml", 0, "there is no domain; write domain.yml or a folder domain/ with slots and responses"
            )
        )
    settings = _read_settings_files(root, problems)
    problems += validate(flows, domain.domain)
    errors = [problem for problem in problems if problem.severity == "error"]
    if errors:
        raise ProblemsError(errors)
    return Assistant(root, flows, domain.domain, settings, tuple(sorted(set(problems))))


def _read_flow_files(paths: Iterable[Path], root: Path, problems: list[Problem]) -> dict[str, Flow]:
    flows: dict[str, Flow] = {}
    declared = False
    for path in paths:
        content = _read(path, root, problems)
        if not isinstance(content, YamlMapping) or "flows" not in content:
            continue
        declared = True
        for flow in read_flows(content, Reader(_shown(path, root), problems)):
            if flow.id in flows:
                first = flows[flow.id].lines
                problems.append(
                    Problem(
                        flow.lines.file,
                        flow.lines.first,
                        f"flow {flow.id} is defined twice (first in {first.file}:{first.first})",
                    )
                )
            flows.setdefault(flow.id, flow)
    if not any(not flow.is_pattern for flow in flows.values()) and not problems:
        what = (
            "`flows` holds no flow of its own" if declared else "no file with a top-level `flows` was found below data/"
        )
        problems.append(Problem("data", 0, f"{what}; an assistant needs at least one flow"))
    return flows


def _read_settings_files(root: Path, problems: list[Problem]) -> Settings:
    readers, contents = [], []
    for name in ("config", "endpoints"):
        found = _first_existing(root, [f"{name}{suffix}" for suffix in _SUFFIXES])
        reader = Reader(_shown(found[0], root) if found else f"{name}.yml", problems)
        if not found and name == "config":
            reader.warn(0, "there is no config.yml; defaults are used")
        readers.append(reader)
        contents.append(_read(found[0], root, problems) if found else None)
    return read_settings(contents[0], contents[1], root, readers[0], readers[1])


def _first_existing(root: Path, names: Iterable[str]) -> list[Path]:
    """YAML files of the first of several files or folders that exists."""
    for name in names:
        path = root / name
        if path.is_file():
            return [path]
        if path.is_dir():
            return sorted(file for file in path.rglob("*") if file.suffix in _SUFFIXES and file.is_file())
    return []


def _read(path: Path, root: Path, problems: list[Problem]) -> Any:
    try:
        return read_yaml(path, _shown(path, root))
    except ProblemsError as error:
        problems += error.problems
        return None


def _shown(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix()
