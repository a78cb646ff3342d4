"""Assistants that use everything a CALM assistant may, with the commands of every message recorded: verdicts as their owners meant them.

`e2e_tests` holds what passes. `must_fail` holds tests that are wrong about the assistant; the line where each breaks says why after `#!`.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from core.assistant.project import load_assistant
from core.dataset.infer import infer
from core.dialogue.action_server import ModuleActions, actions_for
from core.dialogue.command_text import render_all
from core.dialogue.commands import Command, SetSlot
from core.dialogue.engine import Engine
from core.dialogue.values import coerce
from core.e2e.cases import TestCase
from core.e2e.patterns import choose_patterns
from core.e2e.reader import read_tests
from core.e2e.recording import Recording, read_recording
from core.e2e.runner import engine_for, run_test

FOLDER = Path(__file__).resolve().parents[1] / "assistants"
TRADES = {"garage": "3.13", "museum": "3.14", "kennel": "newest"}
SAYS_MORE_THAN_COUNTS = {"no more than three options", "the chip comes before anything else"}
"""Tests whose recording holds commands that the engine leaves out, so that nothing shows them."""


class Workbench:
    """One assistant with its tests and the recording of what their messages mean."""

    def __init__(self, trade: str) -> None:
        folder = FOLDER / trade
        assistant = load_assistant(folder)
        right = read_tests(folder / "e2e_tests", folder)
        self.patterns = choose_patterns(assistant, right)[0]
        self.actions = actions_for(assistant)
        self.engine = Engine(assistant, self.actions, self.patterns)
        self.recording: Recording = read_recording(folder / "commands.yml")
        self.right = {case.name: case for case in right.cases}
        self.wrong = {case.name: case for case in read_tests(folder / "must_fail", folder).cases}
        self.texts = {case.file: (folder / case.file).read_text().splitlines() for case in self.wrong.values()}

    def engine_of(self, case: TestCase) -> Engine:
        return engine_for(self.engine, case, self.actions)

    def breaks_at(self, case: TestCase) -> int:
        """The line of a wrong test that carries the reason why it must fail."""
        lines = range(case.line, len(self.texts[case.file]) + 1)
        return next(line for line in lines if "#!" in self.texts[case.file][line - 1])

    def as_a_set(self, commands: tuple[Command, ...] | None) -> frozenset[Command] | None:
        if commands is None:
            return None
        slots = self.engine.index.slots
        return frozenset(
            SetSlot(c.name, coerce(slots[c.name], c.value)) if isinstance(c, SetSlot) else c for c in commands
        )


@cache
def bench(trade: str) -> Workbench:
    return Workbench(trade)


@pytest.fixture(scope="module", autouse=True)
def _stop_actions() -> Iterator[None]:
    yield
    for trade in TRADES:
        if isinstance(actions := bench(trade).actions, ModuleActions):
            actions.close()


RIGHT = [(trade, test) for trade in TRADES for test in bench(trade).right]
WRONG = [(trade, test) for trade in TRADES for test in bench(trade).wrong]


@pytest.mark.parametrize("trade", TRADES)
def test_the_version_is_the_one_the_tests_were_written_for(trade):
    assert bench(trade).patterns == TRADES[trade]


@pytest.mark.parametrize(("trade", "test"), RIGHT)
async def test_what_is_right_passes(trade, test):
    this = bench(trade)
    case = this.right[test]
    result = await run_test(this.engine_of(case), case, this.recording.source_for(case))
    assert result.passed, result.error or [f"{case.file}:{f.line}: {f.message}" for f in result.failures]


@pytest.mark.parametrize(("trade", "test"), WRONG)
async def test_what_is_wrong_fails_where_it_breaks(trade, test):
    this = bench(trade)
    case = this.wrong[test]
    result = await run_test(this.engine_of(case), case, this.recording.source_for(case))
    assert result.error is None
    assert [failure.line for failure in result.failures][:1] == [this.breaks_at(case)]


@pytest.mark.parametrize(("trade", "test"), RIGHT)
def test_the_recorded_commands_are_inferred(trade, test):
    this = bench(trade)
    case = this.right[test]
    found = infer(this.engine_of(case), case)
    assert found.turns, found.undecided or found.contradiction
    if test in SAYS_MORE_THAN_COUNTS:
        return
    for turn, commands, recorded in zip(case.turns, found.turns, this.recording.turns[case.id], strict=True):
        named = f"{turn.user!r}: {render_all(commands or (), 'v2')!r}"
        assert this.as_a_set(commands) == this.as_a_set(recorded), named


@pytest.mark.parametrize(("trade", "test"), WRONG)
def test_no_commands_are_inferred_for_what_is_wrong(trade, test):
    this = bench(trade)
    case = this.wrong[test]
    found = infer(this.engine_of(case), case, budget=1500)
    assert not found.turns
    if found.contradiction is not None:
        assert found.contradiction.line == this.breaks_at(case)
