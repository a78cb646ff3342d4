"""Tests to write for what the tests of an assistant do not reach."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from core.assistant.flows import Flow
from core.assistant.project import load_assistant
from core.assistant.repair import PatternChoice
from core.dialogue.engine import Engine
from core.e2e.patterns import choose_patterns
from core.e2e.reaching import Place, Reaching, counted
from core.e2e.reader import find_tests, read_tests
from core.e2e.skeleton import Skeleton, in_words, skeleton, steps_in_lines
from core.errors import UsageError
from core.evaluation.review import review
from core.near import near


class TestsToWrite:
    """Writes skeletons of tests for one assistant as it is on disk now."""

    __test__ = False

    def __init__(self, assistant: Path, tests: str | None = None, patterns: PatternChoice = "auto") -> None:
        """`tests` gives their form and place. Raises ProblemsError and UsageError, the latter not for want of tests."""
        self.assistant = load_assistant(assistant)
        self.folder = tests_folder(assistant, tests)
        """Where new tests go; it need not be there yet."""
        self.suite = read_tests(Path(tests) if tests else self.folder, assistant) if self.folder.exists() else None
        if patterns == "auto":
            patterns = choose_patterns(self.assistant, self.suite)[0] if self.suite else "newest"
        self._reaching = Reaching(Engine(self.assistant, None, patterns, require_actions=False))

    def flow(self, name: str) -> Flow:
        """A business flow. Raises UsageError for another name."""
        flows = {flow.id: flow for flow in self.assistant.business_flows}
        if name not in flows:
            raise UsageError(f"there is no flow {name}{near(name, flows)}")
        return flows[name]

    def step(self, flow: Flow, step: str) -> Place:
        """A step by its id or by a line of it. Raises UsageError for one that is not there."""
        steps = counted(flow)
        lines = [s for s in steps if step.isdecimal() and s.lines.first <= int(step) <= s.lines.last]
        found = next((s for s in steps if s.id == step), None) or max(lines, key=lambda s: s.lines.first, default=None)
        if found is None:
            known = ", ".join(f"{s.lines.first} ({in_words(s)})" for s in steps)
            raise UsageError(f"flow {flow.id} has no step {step}; its steps begin in the lines {known}")
        return flow.id, found.id

    def uncovered(self, flow: Flow, lines: Iterable[Sequence[int]]) -> list[Place]:
        """The steps that a coverage report names by their (first, last) lines; [] when the flow has changed since."""
        return steps_in_lines(flow, lines)

    def words(self, place: Place) -> str:
        """A step's line, and what it does."""
        step = self.assistant.flows[place[0]].step(place[1])
        return f"{step.lines.first} {in_words(step)}"

    def skeleton(self, places: Sequence[Place]) -> Skeleton:
        """Tests that reach these steps."""
        return skeleton(self._reaching, places, self.suite)


def tests_folder(assistant: Path, tests: str | None) -> Path:
    """Where tests are, a folder or a file; a folder `e2e_tests` where there are none."""
    if tests:
        return Path(tests.partition("::")[0])
    try:
        return find_tests(assistant)
    except UsageError:
        return assistant / "e2e_tests"


async def skeleton_of(
    assistant: Path, tests: str | None, wanted: str, commands: str = "auto", patterns: PatternChoice = "auto"
) -> tuple[Skeleton, Path]:
    """Tests to write for `FLOW:STEP`, or for all of `FLOW` that the tests do not reach, which are run to see; and where they belong.

    Raises ProblemsError, UsageError, ProviderError.
    """
    to_write = TestsToWrite(assistant, tests, patterns)
    name, _, step = wanted.partition(":")
    flow = to_write.flow(name)
    if step:
        return to_write.skeleton([to_write.step(flow, step)]), to_write.folder
    if to_write.suite is None:
        return to_write.skeleton([(flow.id, step.id) for step in counted(flow)]), to_write.folder
    found = await review(
        assistant, tests, commands, folder=None, total_min=0, per_flow_min=0, min_command_samples=0, patterns=patterns
    )
    lines = next(row.missing_lines for row in found.coverage.flows if row.flow == flow.id)
    return to_write.skeleton(to_write.uncovered(flow, lines)), to_write.folder
