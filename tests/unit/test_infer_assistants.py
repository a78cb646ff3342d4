"""Assistants of several trades, written as their owners would: the commands found are those a person would name.

What a person would name stands beside each message of the tests: `- user: to Japan  #: set slot destination Japan`; `|` divides
readings that are equally good.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

from core.assistant.project import load_assistant
from core.dataset.infer import infer
from core.dialogue.command_text import parse, render_all
from core.dialogue.commands import Command, SetSlot
from core.dialogue.engine import Engine
from core.dialogue.values import coerce
from core.e2e.cases import TestCase
from core.e2e.patterns import choose_patterns
from core.e2e.reader import find_tests, read_tests
from core.e2e.recording import RecordedCommands
from core.e2e.runner import engine_for, run_test

FOLDER = Path(__file__).resolve().parents[1] / "assistants"
TRADES = ("telecom", "clinic", "staff_desk", "journeys", "insurance", "savings_bank", "deli")


@cache
def loaded(trade: str) -> tuple[Engine, dict[str, TestCase]]:
    folder = FOLDER / trade
    assistant = load_assistant(folder)
    suite = read_tests(find_tests(folder), folder)
    engine = Engine(assistant, None, choose_patterns(assistant, suite)[0], require_actions=False)
    return engine, {case.name: case for case in suite.cases}


def as_a_set(commands: tuple[Command, ...], engine: Engine) -> frozenset[Command]:
    slots = engine.index.slots
    return frozenset(
        SetSlot(command.name, coerce(slots[command.name], command.value)) if isinstance(command, SetSlot) else command
        for command in commands
    )


def named_beside(case: TestCase, trade: str, line: int) -> list[tuple[Command, ...]]:
    """The readings written beside a user message; [] when there are none."""
    written = re.search(r"  #: (.*)$", (FOLDER / trade / case.file).read_text().splitlines()[line - 1])
    readings = written[1].split(" | ") if written else []
    return [
        tuple(command for part in reading.split("; ") for command in parse(part, "v2", None, False).commands)
        for reading in readings
    ]


@pytest.mark.parametrize(("trade", "test"), [(trade, test) for trade in TRADES for test in loaded(trade)[1]])
async def test_the_commands_are_those_a_person_would_name(trade, test):
    engine, cases = loaded(trade)
    case = cases[test]
    own = engine_for(engine, case, None, False)
    found = infer(own, case)
    assert found.turns, found.undecided or found.contradiction
    for turn, commands in zip(case.turns, found.turns, strict=True):
        readings = named_beside(case, trade, turn.line)
        assert (commands is None) == (not readings), turn.user
        if commands is not None:
            wanted = [as_a_set(reading, engine) for reading in readings]
            assert as_a_set(commands, engine) in wanted, f"{turn.user!r}: {render_all(commands, 'v2')!r}"
    assert (await run_test(own, case, RecordedCommands(case, found.turns))).passed
