"""What a project uses of CALM, what of it runs here and what does not; for people before they begin, errors or not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from core.assistant.domain import Domain
from core.assistant.flows import ActionStep
from core.assistant.inventory import Feature
from core.assistant.lines import Lines
from core.assistant.project import Assistant, read_assistant
from core.assistant.repair import DEFAULT_ACTION_NAMES, PatternChoice, PatternSet, version, with_default_patterns
from core.e2e.cases import TestSuite
from core.e2e.fixtures import odd_preparations
from core.e2e.impossible import impossible
from core.e2e.patterns import choose_patterns
from core.e2e.reader import find_tests, read_suite
from core.errors import Problem, UsageError, errors_among


@dataclass(frozen=True)
class Diagnosis:
    """A project looked at as a whole."""

    root: Path
    features: tuple[Feature, ...]
    """The words of CALM it uses, then its custom actions with who runs them (kind "custom action")."""
    patterns: PatternSet
    patterns_reason: str
    generator: str | None
    """Name of the command generator; None when the pipeline has none."""
    dialect: str
    problems: tuple[Problem, ...]
    counts: dict[str, int]
    """How many flows, patterns, slots, responses and tests of its own it has."""
    notice: str = ""
    """Why no tests were looked at; "" when they were."""

    @property
    def errors(self) -> tuple[Problem, ...]:
        return errors_among(self.problems)

    def as_json(self) -> dict[str, Any]:
        """Everything as `calmtune doctor PATH --json` prints it."""
        return {
            "assistant": str(self.root),
            "runs": not self.errors,
            "counts": self.counts,
            "patterns": {"set": self.patterns, "versions": version(self.patterns), "reason": self.patterns_reason},
            "generator": self.generator,
            "dialect": self.dialect,
            "features": [asdict(feature) for feature in self.features],
            "problems": [asdict(problem) for problem in self.problems],
            "notice": self.notice,
        }


def diagnose(root: Path, tests: str | None = None, patterns: PatternChoice = "auto") -> Diagnosis:
    """Look at a project folder and its tests, whatever is wrong with them. Raises UsageError when the folder is no assistant."""
    reading = read_assistant(root)
    assistant = reading.assistant
    problems, features, notice = [*reading.problems], [*reading.features], ""
    suite: TestSuite | None = None
    try:
        read = read_suite(Path(tests) if tests else find_tests(root), root)
    except UsageError as error:
        if tests:
            raise
        notice = str(error)
    else:
        suite = read.suite
        problems += read.problems
        features += read.features
    chosen, reason = choose_patterns(assistant, suite) if patterns == "auto" else (patterns, "chosen by hand")
    if suite is not None and not reading.errors:
        whole = with_default_patterns(assistant, chosen)
        problems += [*odd_preparations(suite, whole.domain), *_never_passing(suite, whole)]
    features += _custom_actions(assistant, suite)
    own = assistant.flows.values()
    return Diagnosis(
        root=root,
        features=tuple(features),
        patterns=chosen,
        patterns_reason=reason,
        generator=assistant.settings.generator,
        dialect=assistant.settings.dialect,
        problems=tuple(sorted(set(problems))),
        counts={
            "flows": len(assistant.business_flows),
            "patterns": sum(flow.is_pattern for flow in own),
            "slots": len(assistant.domain.slots),
            "responses": len(assistant.domain.responses),
            "tests": len(suite.cases) if suite is not None else 0,
        },
        notice=notice,
    )


def _never_passing(suite: TestSuite, assistant: Assistant) -> Iterator[Problem]:
    """Tests that expect what no conversation can fulfil, each at the line of its first such expectation."""
    for case in suite.cases:
        if (failure := impossible(case, assistant)) is not None:
            yield Problem(case.file, failure.line, f"test {case.name} cannot pass: {failure.message}", "warning")


def _custom_actions(assistant: Assistant, suite: TestSuite | None) -> Iterator[Feature]:
    """A row for each custom action: where flows use it (else where the domain lists actions), and who would run it."""
    places: dict[str, list[Lines]] = {
        name: [] for name in assistant.domain.actions if _is_custom(name, assistant.domain)
    }
    for flow in assistant.flows.values():
        for step in flow.steps:
            if isinstance(step, ActionStep) and "{{" not in step.action and _is_custom(step.action, assistant.domain):
                places.setdefault(step.action, []).append(step.lines)
        for collect in flow.collects():
            for name in (collect.ask_action, f"validate_{collect.slot}"):
                if name in places:
                    places[name].append(collect.lines)
    for slot in assistant.domain.slots.values():
        for mapping in slot.mappings:
            if (every_turn := mapping.every_turn_action) is not None:
                places.setdefault(every_turn, []).append(slot.lines)
    outside = _runner(assistant)
    for name, found in sorted(places.items()):
        stubbed = sum(name in case.stubs for case in suite.cases) if suite is not None else 0
        who = [f"stubs of {stubbed} tests" if stubbed > 1 else "a stub of one test"] if stubbed else []
        who += [outside.name] if outside.name else []
        first = found[0] if found else Lines("domain", 0, 0)
        why = f"by {' and '.join(who)}" if who else outside.reason
        yield Feature("custom action", name, len(found), first.file, first.first, "runs" if who else "left aside", why)


def _is_custom(name: str, domain: Domain) -> bool:
    if name.startswith("utter_") or name in domain.responses:
        return False
    return name in domain.actions or name not in DEFAULT_ACTION_NAMES


@dataclass(frozen=True)
class _Runner:
    name: str = ""
    reason: str = ""


def _runner(assistant: Assistant) -> _Runner:
    """What endpoints.yml says runs the custom actions."""
    settings = assistant.settings
    if settings.action_url:
        return _Runner(f"the server {settings.action_url}")
    if (module := settings.actions_module) is None:
        return _Runner(reason="nobody runs it: endpoints.yml names no action_endpoint, and no test stubs it")
    place = assistant.root.joinpath(*module.split("."))
    if not place.is_dir() and not place.with_suffix(".py").is_file():
        return _Runner(reason=f"nobody runs it: the module {module} is not in the folder, and no test stubs it")
    if find_spec("rasa_sdk") is None:
        return _Runner(reason=f"the module {module} needs rasa-sdk to run; install calmtune[actions]")
    return _Runner(f"the module {module}")


def counted(features: Iterable[Feature]) -> dict[str, int]:
    """Verdict → number of features."""
    found = {"runs": 0, "left aside": 0, "refused": 0}
    for feature in features:
        found[feature.verdict] += 1
    return found
