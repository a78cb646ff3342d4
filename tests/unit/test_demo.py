"""The shipped sample assistant: complete, consistent, and fit to train on."""

from __future__ import annotations

import asyncio
import importlib.util
import re
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest

from core import demo
from core.assistant.project import load_assistant
from core.dataset.annotate import annotate
from core.dataset.conversation import AnnotatedConversation
from core.dataset.paraphrases import Paraphrases, read_paraphrases
from core.dataset.points import contradictions, data_points
from core.dataset.prepare import divide, rephrase
from core.dataset.text import normalised
from core.dialogue.commands import SetSlot, StartFlow
from core.e2e.cases import TestSuite
from core.e2e.reader import find_tests, read_tests
from core.e2e.recording import Recording, read_recording
from core.e2e.runner import run_tests
from core.errors import UsageError
from core.evaluation.review import Review, review, workbench
from core.wizard.answers import validate

LONGEST_PROMPT = 1500
"""Characters; some 410 tokens, so that minutes of training on two cores are enough."""
REPHRASINGS = 10


@cache
def suite() -> TestSuite:
    folder = demo.assistant_folder()
    return read_tests(find_tests(folder), folder)


@cache
def recording() -> Recording:
    return read_recording(demo.commands_file())


@cache
def paraphrases() -> Paraphrases:
    return read_paraphrases(demo.paraphrases_file())


def reviewed(commands: str) -> Review:
    found = review(
        demo.assistant_folder(),
        None,
        commands,
        folder=None,
        total_min=0.9,
        per_flow_min=0.8,
        min_command_samples=5,
    )
    return asyncio.run(found)


def test_the_assistant_is_sound_and_small() -> None:
    assistant = load_assistant(demo.assistant_folder())
    startable = [flow for flow in assistant.business_flows if not flow.never_startable]
    assert assistant.warnings == ()
    assert 8 <= len(startable) <= 10
    assert sum(slot.from_llm for slot in assistant.domain.slots.values()) <= 14


def test_the_tests_show_both_formats_and_have_names_of_their_own() -> None:
    cases = suite().cases
    forms = [any(turn.uses_assertions for turn in case.turns) for case in cases]
    assert len(cases) >= 60
    assert min(forms.count(True), forms.count(False)) >= 20
    assert len({case.name for case in cases}) == len(cases)
    assert any(case.fixture_slots for case in cases)


def test_every_message_has_its_commands_and_every_button_has_none() -> None:
    assert set(recording().turns) == {case.id for case in suite().cases}
    for case in suite().cases:
        turns = recording().turns[case.id]
        assert len(turns) == len(case.turns), case.id
        for turn, commands in zip(case.turns, turns, strict=True):
            assert (commands is None) == turn.user.startswith("/"), f"{case.id}: {turn.user}"
            assert commands != (), f"{case.id}: {turn.user}"


def test_equal_commands_follow_in_equal_order() -> None:
    """A model cannot learn an order that changes: flows first, then slots as the flow asks for them."""
    assistant = load_assistant(demo.assistant_folder())
    for test, turns in recording().turns.items():
        for commands in filter(None, turns):
            for started in (command.flow for command in commands[:1] if isinstance(command, StartFlow)):
                order = [step.slot for step in assistant.collects_of(started)]
                given = [order.index(command.name) for command in commands if isinstance(command, SetSlot)]
                assert given == sorted(given), test


@pytest.mark.parametrize("commands", [str(demo.commands_file()), "infer"], ids=["recorded", "inferred"])
def test_all_tests_pass_and_cover_the_flows(commands: str) -> None:
    found = reviewed(commands)
    assert found.failure_reports == {}
    assert [gate.name for gate in found.gates if not gate.passed] == []
    assert found.summary["total"] == 1.0
    assert {name: count for name, count in found.summary["commands"].items() if count < 5} == {}
    assert set(found.summary["commands"]) == {
        "start flow", "set slot", "cancel flow", "clarify", "search and reply", "chitchat", "human handoff",
        "repeat message",
    }  # fmt: skip


def test_the_tests_notice_a_missing_command() -> None:
    """Whoever leaves out any one command of a turn does not pass the test, so a pass says something."""
    bench = workbench(demo.assistant_folder(), None)
    for case in suite().cases:
        turns = recording().turns[case.id]
        wrong = {
            (at, left_out): tuple(c for position, c in enumerate(turns[at] or ()) if position != left_out)
            for at in range(len(turns))
            for left_out in range(len(turns[at] or ()))
        }
        for (at, left_out), commands in wrong.items():
            changed = Recording({case.id: (*turns[:at], commands, *turns[at + 1 :])})
            (result,) = asyncio.run(run_tests(bench.engine, [case], changed.source_for))
            assert not result.passed, f"{case.id}: {(turns[at] or ())[left_out]} is not needed in turn {at + 1}"


def test_every_message_has_other_wordings() -> None:
    messages = {turn.user for case in suite().cases for turn in case.turns if not turn.user.startswith("/")}
    entries = {entry.user: entry for entry in paraphrases().entries}
    assert paraphrases().strays(suite().cases) == []
    assert set(entries) == messages
    for user, entry in entries.items():
        wordings = [normalised(text) for text in (user, *entry.variants)]
        assert len(entry.variants) >= 8, user
        assert len(set(wordings)) == len(wordings), user


def test_other_wordings_keep_the_values_as_they_are_spelled() -> None:
    entries = {entry.user: entry for entry in paraphrases().entries}
    slots = load_assistant(demo.assistant_folder()).domain.slots
    for case in suite().cases:
        for turn, commands in zip(case.turns, recording().turns[case.id], strict=True):
            for command in commands or ():
                if isinstance(command, SetSlot) and slots[command.name].type != "bool":
                    value = re.compile(rf"(?<!\w){re.escape(str(command.value))}(?!\w)")
                    lost = [text for text in (turn.user, *entries[turn.user].variants) if not value.search(text)]
                    assert lost == [], command


@cache
def conversations() -> tuple[AnnotatedConversation, ...]:
    bench = workbench(demo.assistant_folder(), None)
    results = asyncio.run(run_tests(bench.engine, list(suite().cases), lambda case: recording().source_for(case)))
    annotated = [annotate(result, bench.engine, bench.renderer(0), "v2") for result in results]
    return tuple(asyncio.run(rephrase(annotated, paraphrases(), REPHRASINGS, bench.engine, None)))


def test_no_wording_is_dropped() -> None:
    turns = [turn for conversation in conversations() for turn in conversation.turns if turn.annotated]
    assert [turn.rejected for turn in turns if turn.rejected] == []
    assert all(len(turn.passing) >= 8 for turn in turns)


def test_no_two_rows_contradict_each_other_and_prompts_are_short() -> None:
    bench = workbench(demo.assistant_folder(), None)
    renderer = bench.renderer(0)
    rows = [row for conversation in conversations() for row in data_points(conversation, bench.engine, renderer)]
    assert contradictions(rows) == []
    assert max(len(row.prompt) for row in rows) <= LONGEST_PROMPT


@pytest.mark.parametrize("seed", [1, 2, 42])
def test_a_split_leaves_every_command_on_both_sides(seed: int) -> None:
    bench = workbench(demo.assistant_folder(), None)
    divided = divide(conversations(), bench.engine, bench.renderer(0), 0.8, seed)
    train, validation = (
        {type(command) for row in rows for command in row.commands} for rows in (divided.train, divided.validation)
    )
    assert len(train) == 8
    assert train == validation
    assert 0.75 <= divided.split.train_fraction <= 0.85


def test_a_copy_is_complete_and_never_overwrites(tmp_path: Path) -> None:
    copied = demo.copy_to(tmp_path / "mine")
    original = load_assistant(demo.assistant_folder())
    assert list(load_assistant(copied).flows) == list(original.flows)
    assert not list(copied.rglob("__pycache__"))
    for section, body in demo.answers(tmp_path / "mine").items():
        validate(section, body, section)
        assert all(Path(value).exists() for value in body.values() if isinstance(value, str))
    with pytest.raises(UsageError, match="not an empty folder"):
        demo.copy_to(tmp_path / "mine")


@cache
def actions_module() -> ModuleType:
    pytest.importorskip("rasa_sdk")
    spec = importlib.util.spec_from_file_location("demo_actions", demo.assistant_folder() / "actions" / "actions.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_members_pay_less() -> None:
    actions = actions_module()
    assert actions.price_of("attic", 3.0, member=False) == 66.0
    assert actions.price_of("attic", 3.0, member=True) == 59.4


def test_the_tide_turns_about_every_six_hours() -> None:
    actions = actions_module()
    high = actions.HIGH_WATER
    assert actions.tide_at(high) == "high"
    assert actions.tide_at(high + timedelta(hours=6)) == "low"
    assert actions.tide_at(high + timedelta(hours=12)) == "high"
    assert actions.tide_at(datetime(2025, 12, 31, 22, 0, tzinfo=UTC)) == "low"


def test_the_actions_do_what_the_stubs_stand_for() -> None:
    actions = actions_module()
    from rasa_sdk import Tracker
    from rasa_sdk.executor import CollectingDispatcher

    dispatcher = CollectingDispatcher()
    tracker = Tracker("guest", {"room": "tower", "nights": 2.0, "member": False}, {}, [], False, None, {}, "")
    (price,) = actions.PriceBed().run(dispatcher, tracker, {})
    (tide,) = actions.CheckTide().run(dispatcher, tracker, {})
    assert (price["name"], price["value"]) == ("price", 62.0)
    assert [message["text"] for message in dispatcher.messages] == ["That comes to 62.00 crowns."]
    assert (tide["name"], tide["value"] in ("low", "high")) == ("tide", True)
    named = {actions.PriceBed().name(), actions.CheckTide().name()}
    assert named == set(load_assistant(demo.assistant_folder()).domain.actions)
