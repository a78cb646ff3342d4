"""Tests to be written: for steps that no test reaches, test cases that get there, with what users say left to fill in."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.assistant.flows import ActionStep, CallStep, CollectStep, Flow, LinkStep, SetSlotsStep, Step
from core.dialogue.commands import Command, SetSlot, StartFlow
from core.dialogue.engine import Engine
from core.dialogue.events import BotSaid, SlotSet, StepVisited
from core.e2e.cases import TestCase, TestFile, TestSuite
from core.e2e.output import suite_as_yaml
from core.e2e.possible_values import as_written, whole
from core.e2e.reaching import Place, Reaching, Way, WayTurn

_SAFE = re.compile(r"[^\w.-]+")
_BLANK = re.compile(r"<((ask for|give|say) .+|[A-Z][A-Za-z]+)>")
"""What `_Writer._message` leaves to be filled in."""
_WIDEST = 120
"""Characters of a line of the heading."""


@dataclass(frozen=True)
class Skeleton:
    """A test file to be filled in."""

    text: str
    """YAML as the reader of tests takes it; empty when no step can be reached."""
    file: str
    """A name for it."""
    ways: tuple[Way, ...]
    """One a test, in the order of the file."""
    unreachable: tuple[Place, ...]
    """Steps to which no way was found."""


def skeleton(reaching: Reaching, places: Sequence[Place], suite: TestSuite | None = None) -> Skeleton:
    """Tests that reach some steps, as few as do; in the form that most tests of `suite` have.

    Raises KeyError for a flow that the assistant does not have.
    """
    found: dict[Place, Way] = {}
    unreachable = []
    for place in reversed(places):  # a way to a late step passes the early ones
        if any(place in way.passed for way in found.values()):
            continue
        if (way := reaching.way_to(*place)) is not None:
            found[place] = way
        else:
            unreachable.append(place)
    ways = tuple(found[place] for place in places if place in found)
    steps = [(flow, reaching.flows[flow].step(step)) for flow, step in places]
    writer = _Writer(reaching, uses_assertions(suite))
    return Skeleton(writer.file(ways) if ways else "", _file_name(steps), ways, tuple(reversed(unreachable)))


def unfilled(case: TestCase) -> str | None:
    """A sentence when a turn still has what a skeleton says in place of a user's words."""
    for at, turn in enumerate(case.turns):
        if _BLANK.fullmatch(turn.user.strip()):
            return f"turn {at + 1} ({turn.user!r}, {case.file}:{turn.line}) is not filled in yet: write what a user would say there"
    return None


def uses_assertions(suite: TestSuite | None) -> bool:
    """True when more user steps of the tests have assertions than classic checks after them."""
    turns = [turn for case in (suite.cases if suite else ()) for turn in case.turns if turn.checks]
    return 2 * sum(turn.uses_assertions for turn in turns) > len(turns)


def write_beside(tests: Path, name: str, text: str) -> Path:
    """Write a new file into the folder of the tests (`tests`: it, or a file in it), under a free name. Raises OSError."""
    folder = tests.parent if tests.is_file() else tests
    folder.mkdir(parents=True, exist_ok=True)
    stem = name.removesuffix(".yml")
    for number in range(1, 1000):
        path = folder / (f"{stem}.yml" if number == 1 else f"{stem}_{number}.yml")
        try:
            with path.open("x", encoding="utf-8") as file:
                file.write(text)
            return path
        except FileExistsError:
            continue
    raise FileExistsError(f"{folder / name} and a thousand others like it are there already")


def in_words(step: Step) -> str:
    """What a step does."""
    if isinstance(step, ActionStep):
        return step.action
    if isinstance(step, CollectStep):
        return f"collect {step.slot}"
    if isinstance(step, SetSlotsStep):
        return f"set {', '.join(name for name, _ in step.slots)}"
    if isinstance(step, (LinkStep, CallStep)):
        return f"{'link to' if isinstance(step, LinkStep) else 'call'} {step.flow}"
    return step.id


def steps_in_lines(flow: Flow, lines: Iterable[Sequence[int]]) -> list[Place]:
    """The steps of a flow that stand in exactly these (first, last) lines."""
    wanted = {(first, last) for first, last in lines}
    return [(flow.id, step.id) for step in flow.steps if (step.lines.first, step.lines.last) in wanted]


def _file_name(steps: Sequence[tuple[str, Step]]) -> str:
    """After the flow; of a single step after what it does, too."""
    parts = [steps[0][0], in_words(steps[0][1])] if len(steps) == 1 else [flow for flow, _ in steps[:1]]
    return _SAFE.sub("_", "_".join(["reach", *parts]))[:100].strip("._") + ".yml"


class _Writer:
    """Writes ways as a test file."""

    def __init__(self, reaching: Reaching, assertions: bool) -> None:
        self.reaching, self.assertions = reaching, assertions
        self.engine: Engine = reaching.engine

    def file(self, ways: Sequence[Way]) -> str:
        names = list(self._names(ways))
        cases = tuple(self._case(way, name) for way, name in zip(ways, names, strict=True))
        fixtures = {name: as_written(dict(way.given.beginning)) for way, name in zip(ways, names, strict=True)}
        file = TestFile("skeleton.yml", cases, fixtures)
        return self._heading(ways) + suite_as_yaml(TestSuite((file,)), {case.id for case in cases})

    def _names(self, ways: Sequence[Way]) -> Iterator[str]:
        names = [f"{way.flow} gets to {in_words(self._step(way))}" for way in ways]
        for way, name in zip(ways, names, strict=True):
            yield name if names.count(name) == 1 else f"{name}, step {way.step}"

    def _step(self, way: Way) -> Step:
        return self.reaching.flows[way.flow].step(way.step)

    def _heading(self, ways: Sequence[Way]) -> str:
        lines = ["Put a user's words in place of each <…>; keep the values."]
        if any(way.given.answers for way in ways):
            lines.append("Stubs answer what leads the way.")
        for way in ways:
            step = self._step(way)
            lines.append(f"{step.lines.file}:{step.lines.first} {in_words(step)}")
        readable = ("".join(sign if sign.isprintable() else " " for sign in line) for line in lines)
        return "".join(f"# {' '.join(line.split())[:_WIDEST]}\n" for line in readable)

    def _case(self, way: Way, name: str) -> TestCase:
        steps = [step for turn in way.turns for step in self._turn(turn)]
        source: dict[str, Any] = {"test_case": name}
        if way.given.beginning:
            source["fixtures"] = [name]
        source["steps"] = steps
        stubs = {action: way.given.answer(action) for action in way.actions}
        return TestCase(name, "skeleton.yml", 0, (), stubs=stubs, source=source)

    def _turn(self, turn: WayTurn) -> Iterator[dict[str, Any]]:
        user = turn.payload or f"<{self._message(turn.commands)}>"
        if self.assertions:
            found = list(self._assertions(turn))
            yield {"user": user, "assertions": found} if found else {"user": user}
            return
        yield {"user": user}
        if slots := self._slots(turn):
            yield {"slot_was_set": [name if value is None else {name: value} for name, value in slots]}
        yield from ({"utter": name} for name in self._said(turn))

    def _assertions(self, turn: WayTurn) -> Iterator[dict[str, Any]]:
        if started := [command.flow for command in turn.commands if isinstance(command, StartFlow)]:
            yield {"flow_started": {"operator": "all", "flow_ids": started}}
        if slots := self._slots(turn):
            yield {"slot_was_set": [{"name": name} if value is None else {"name": name, "value": value} for name, value in slots]}
        yield from ({"action_executed": name} for name in self._actions(turn))
        yield from ({"bot_uttered": {"utter_name": name}} for name in self._said(turn))

    def _message(self, commands: Sequence[Command]) -> str:
        """What the user has to say, so that it is understood as the commands."""
        command = commands[0] if commands else None
        if isinstance(command, StartFlow):
            return f"ask for {self.reaching.flows[command.flow].name}"
        if isinstance(command, SetSlot):
            value = whole(command.value)
            if isinstance(value, bool):
                return f"say {'yes' if value else 'no'}: {command.name}"
            return f"give {command.name}" + ("" if self._is_free(command.name, value) else f": {value}")
        return "say something else" if command is None else type(command).__name__

    def _is_free(self, slot: str, value: Any) -> bool:
        """True when any value would do as well."""
        return self.reaching.slots[slot].type in ("text", "any", "list") and value == self.reaching.values.of(slot)[0]

    def _slots(self, turn: WayTurn) -> list[tuple[str, Any]]:
        """(slot, value) of each slot that is set in a turn, the last value of it; None where any will do."""
        last = {e.name: e for e in turn.events if isinstance(e, SlotSet) and not e.reset and e.value is not None}
        return [
            (name, None if self._is_free(name, event.value) else whole(event.value))
            for name, event in last.items()
            if self._is_own("slots", name)
        ]

    def _said(self, turn: WayTurn) -> list[str]:
        """Responses said in a turn."""
        said = dict.fromkeys(event.utter for event in turn.events if isinstance(event, BotSaid) and event.utter)
        return [name for name in said if self._is_own("responses", name)]

    def _actions(self, turn: WayTurn) -> list[str]:
        """Custom actions that steps of flows name; those of questions and of every turn are there or not."""
        steps = (self.reaching.flows[event.flow].step(event.step) for event in turn.events if isinstance(event, StepVisited))
        named = {step.action for step in steps if isinstance(step, ActionStep)}
        return [name for name in self.reaching.custom_actions(turn.events) if name in named]

    def _is_own(self, part: str, name: str) -> bool:
        """True for what the owner's domain has: the patterns' parts differ between versions."""
        return name in (self.engine.assistant.domain.raw.get(part) or {})
