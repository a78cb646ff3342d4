"""What a project uses of CALM: every feature with how often and where first, read from the files as they are written.

Files with errors are counted as far as they can be read, so that an assistant that cannot run still shows what it is made of.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from core.assistant.conditions import ConditionError, tokens
from core.assistant.flows import END, PATTERN_PREFIX
from core.assistant.repair import DEFAULT_ACTION_NAMES, defaults
from core.assistant.settings import DIALECTS, short_name
from core.assistant.source import YamlList, YamlMapping
from core.assistant.support import SUPPORT, Verdict, support
from core.errors import Problem

STEP_KINDS = ("action", "collect", "set_slots", "link", "call", "noop")
_VERBS: Mapping[Verdict, str] = {
    "runs": "runs otherwise",
    "left aside": "is left aside",
    "refused": "is refused",
}
_CONTEXT = re.compile(r"\bcontext\.(\w+)")


@dataclass(frozen=True)
class Use:
    """One place where a feature is used."""

    kind: str
    name: str
    file: str
    line: int


@dataclass(frozen=True)
class Feature:
    """A feature with all its uses taken together."""

    kind: str
    name: str
    count: int
    file: str
    line: int
    """Where it is used first."""
    verdict: Verdict
    why: str = ""


@dataclass(frozen=True)
class Part:
    """One file of a project as parsed."""

    kind: str
    """flows, domain, config, endpoints, credentials or agent."""
    file: str
    content: Any


def inventory(parts: Iterable[Part]) -> list[Feature]:
    """The features of a project's files, by kind in the order of the table, then by name."""
    parts = list(parts)
    own = {str(name) for part in parts if part.kind == "domain" for name in _actions(part.content)}
    uses = (use for part in parts for use in _READERS[part.kind](part))
    return tally(use for use in uses if use.kind != "default action" or use.name not in own)


def _actions(domain: Any) -> Iterator[Any]:
    """Names under `actions`: a default action among them is the owner's own."""
    for entry, _ in items(domain, "actions") if isinstance(domain, YamlMapping) else ():
        yield from entry if isinstance(entry, YamlMapping) else (entry,)


def tally(uses: Iterable[Use]) -> list[Feature]:
    """Uses taken together; those of one kind sorted by name, the first place being the first in order of the files."""
    found: dict[tuple[str, str], Feature] = {}
    for use in uses:
        known = found.get((use.kind, use.name))
        if known is None:
            verdict = support(use.kind, use.name)
            known = Feature(use.kind, use.name, 0, use.file, use.line, verdict.verdict, verdict.why)
        found[use.kind, use.name] = replace(known, count=known.count + 1)
    kinds = list(dict.fromkeys([*SUPPORT, *(kind for kind, _ in found)]))
    return sorted(found.values(), key=lambda feature: (kinds.index(feature.kind), feature.name))


def warnings(features: Iterable[Feature]) -> list[Problem]:
    """A warning for each feature whose absence changes the conversation."""
    return [
        Problem(
            feature.file,
            feature.line,
            f"{feature.kind} {feature.name} {_VERBS[feature.verdict]}: {feature.why}{_times(feature.count)}",
            "warning",
        )
        for feature in features
        if support(feature.kind, feature.name).told
    ]


def _times(count: int) -> str:
    return "" if count == 1 else f" ({count} times)"


class Walk:
    """Collects uses of one file."""

    def __init__(self, part: Part) -> None:
        self.file = part.file
        self.content = part.content if isinstance(part.content, YamlMapping) else YamlMapping()

    def use(self, kind: str, name: object, line: int) -> Use:
        return Use(kind, str(name), self.file, line)

    def keys(self, kind: str, mapping: Any) -> Iterator[Use]:
        if isinstance(mapping, YamlMapping):
            yield from (self.use(kind, key, mapping.line_of(key)) for key in mapping)

    def condition(self, written: Any, line: int) -> Iterator[Use]:
        """Operators, constants and context properties of a condition."""
        if not isinstance(written, (str, bool)):
            return
        source = str(written)
        yield from self.context(source, line)
        if "{{" in source or "{%" in source:
            yield self.use("condition", "jinja", line)
            return
        words: list[str] = []
        try:
            for kind, text, _ in tokens(source):
                word = text.casefold() if kind in ("word", "operator") or text == "{" else ""
                if word == "not" and words[-1:] == ["is"]:
                    words.pop()
                    word = "is not"
                words.append("{set}" if word == "{" else word)
        except ConditionError:
            return
        yield from (self.use("condition", word, line) for word in words if word in SUPPORT["condition"])

    def context(self, text: Any, line: int) -> Iterator[Use]:
        if isinstance(text, str):
            yield from (self.use("context property", name, line) for name in dict.fromkeys(_CONTEXT.findall(text)))

    def rejections(self, mapping: YamlMapping) -> Iterator[Use]:
        for rejection, _ in items(mapping, "rejections"):
            if isinstance(rejection, YamlMapping):
                yield from self.condition(rejection.get("if"), rejection.line_of("if"))


class _Flows(Walk):
    def uses(self) -> Iterator[Use]:
        yield from self.keys("flow file key", self.content)
        flows = mapping_of(self.content, "flows")
        for id, body in flows.items():
            if isinstance(body, YamlMapping):
                is_pattern = id.startswith(PATTERN_PREFIX)
                if is_pattern:
                    yield self.use("pattern" if id in defaults().flows else "unknown pattern", id, flows.line_of(id))
                for use in self.keys("flow key", body):
                    triggers = is_pattern and use.name == "nlu_trigger"
                    yield replace(use, name="nlu_trigger of a pattern") if triggers else use
                yield from self.condition(body.get("if"), body.line_of("if"))
                yield from self._steps(body.get("steps"))

    def _steps(self, steps: Any) -> Iterator[Use]:
        for step in steps if isinstance(steps, YamlList) else ():
            if isinstance(step, YamlMapping):
                yield from self._step(step)

    def _step(self, step: YamlMapping) -> Iterator[Use]:
        kinds = [kind for kind in STEP_KINDS if kind in step] or (["noop"] if "next" in step else [])
        for kind in kinds:
            yield self.use("step", _called(step) if kind == "call" else kind, step.line_of(kind))
        yield from (use for use in self.keys("step key", step) if use.name not in STEP_KINDS)
        if isinstance(name := step.get("action"), str):
            yield from self.context(name, step.line_of("action"))
            if name in DEFAULT_ACTION_NAMES:
                yield self.use("default action", name, step.line_of("action"))
        yield from self.rejections(step)
        yield from self._next(step.get("next"), step.line_of("next"))

    def _next(self, target: Any, line: int) -> Iterator[Use]:
        if isinstance(target, YamlList):
            branches = [item for item in target if isinstance(item, YamlMapping) and ("if" in item or "else" in item)]
            if not branches:
                yield self.use("next", "nested steps", line)
                yield from self._steps(target)
            for branch in branches:
                yield self.use("next", "if/then" if "if" in branch else "else", branch.lines.first)
                yield from self.condition(branch.get("if"), branch.line_of("if"))
                inner = branch.get("then", branch.get("else"))
                if isinstance(inner, YamlList):
                    yield self.use("next", "nested steps", branch.lines.first)
                    yield from self._steps(inner)
        elif target is not None:
            yield self.use("next", END if target == END else "id", line)


def _called(step: YamlMapping) -> str:
    if "mcp_server" in step or "mapping" in step:
        return "call of a tool"
    return "call of an agent" if "exit_if" in step else "call"


class _Domain(Walk):
    def uses(self) -> Iterator[Use]:
        yield from self.keys("domain key", self.content)
        for body in mapping_of(self.content, "slots").values():
            if isinstance(body, YamlMapping):
                yield from self._slot(body)
        for variations in mapping_of(self.content, "responses").values():
            for variation in variations if isinstance(variations, YamlList) else ():
                if isinstance(variation, YamlMapping):
                    yield from self._variation(variation)

    def _slot(self, body: YamlMapping) -> Iterator[Use]:
        yield self.use("slot type", body.get("type", "any"), body.line_of("type"))
        yield from self.keys("slot key", body)
        checks = mapping_of(body, "validation")
        yield from self.keys("slot validation", checks)
        yield from self.rejections(checks)
        for mapping, line in items(body, "mappings"):
            if not isinstance(mapping, YamlMapping):
                yield self.use("mapping", mapping, line)
                continue
            yield self.use("mapping", mapping.get("type"), line)
            yield from (use for use in self.keys("mapping key", mapping) if use.name not in ("type", "conditions"))
            for condition, _ in items(mapping, "conditions"):
                yield from self.keys("mapping key", condition)

    def _variation(self, variation: YamlMapping) -> Iterator[Use]:
        yield from self.keys("response key", variation)
        yield from self.keys("response key", variation.get("metadata"))
        yield from self.condition(variation.get("condition"), variation.line_of("condition"))
        yield from self.context(variation.get("text"), variation.line_of("text"))
        for button, line in items(variation, "buttons"):
            if isinstance(button, YamlMapping):
                payload = str(button.get("payload", ""))
                kind = (
                    "/SetSlots(…)" if payload.startswith("/SetSlots") else "/intent" if payload[:1] == "/" else "text"
                )
                yield self.use("button", kind, line)


class _Config(Walk):
    def uses(self) -> Iterator[Use]:
        yield from self.keys("config key", self.content)
        for kind, key in (("component", "pipeline"), ("policy", "policies")):
            for item, line in items(self.content, key):
                if not isinstance(item, YamlMapping) or not isinstance(item.get("name"), str):
                    continue
                if (name := short_name(item)) in DIALECTS:
                    yield self.use("generator", name, line)
                    off = mapping_of(item, "flow_retrieval").get("active") is False
                    for use in self.keys("generator key", item):
                        yield replace(use, name="flow_retrieval: off") if off and use.name == "flow_retrieval" else use
                else:
                    yield self.use(kind, name, line)


class _Endpoints(Walk):
    def uses(self) -> Iterator[Use]:
        yield from self.keys("endpoints key", self.content)


class _Credentials(Walk):
    def uses(self) -> Iterator[Use]:
        yield from self.keys("channel", self.content)


class _Agent(Walk):
    def uses(self) -> Iterator[Use]:
        yield self.use("agent", self.file.split("/")[-2], 1)


def mapping_of(content: YamlMapping, key: str) -> YamlMapping:
    """A mapping inside; an empty one for anything else."""
    found = content.get(key)
    return found if isinstance(found, YamlMapping) else YamlMapping()


def items(content: YamlMapping, key: str) -> Iterator[tuple[Any, int]]:
    """(item, line) pairs of a list inside; nothing for anything else."""
    found = content.get(key)
    if isinstance(found, YamlList):
        yield from ((item, lines.first) for item, lines in zip(found, found.item_lines, strict=True))


_READERS: Mapping[str, Any] = {
    "flows": lambda part: _Flows(part).uses(),
    "domain": lambda part: _Domain(part).uses(),
    "config": lambda part: _Config(part).uses(),
    "endpoints": lambda part: _Endpoints(part).uses(),
    "credentials": lambda part: _Credentials(part).uses(),
    "agent": lambda part: _Agent(part).uses(),
}
