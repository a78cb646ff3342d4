"""Skeletons of tests: read as any test, played, and at the step they were written for."""

from __future__ import annotations

import asyncio
import re
import shutil
from functools import cache
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from core.assistant.project import load_assistant
from core.demo import assistant_folder
from core.dialogue.engine import Engine
from core.e2e.example_text import LONGEST, example
from core.e2e.reaching import Reaching, Way, counted
from core.e2e.reader import find_tests, read_tests
from core.e2e.recording import RecordedCommands
from core.e2e.results import TestResult
from core.e2e.runner import engine_for, run_test
from core.e2e.skeleton import Skeleton, skeleton, uses_assertions, write_beside
from core.errors import UsageError
from core.evaluation.tests_to_write import skeleton_of
from tui.cli import cli

FOLDER = Path(__file__).resolve().parents[1] / "assistants"
SHARED = Path(__file__).resolve().parents[3] / "shared" / "assistants"
ASSISTANTS = [assistant_folder(), *sorted(path for path in FOLDER.iterdir() if path.is_dir())]
OTHERS = sorted(path for path in SHARED.iterdir() if path.is_dir()) if SHARED.is_dir() else []


@cache
def loaded(folder: Path):
    assistant = load_assistant(folder)
    try:
        suite = read_tests(find_tests(folder), folder)
    except UsageError:
        suite = None
    return Reaching(Engine(assistant, None, "newest", require_actions=False)), suite


def played(found: Skeleton, reaching: Reaching, folder: Path) -> list[tuple[Way, TestResult]]:
    """The file read back and each of its tests run with the commands of its way."""
    file = folder / found.file
    file.write_text(found.text, encoding="utf-8")
    cases = read_tests(file, folder).cases
    results = []
    for way, case in zip(found.ways, cases, strict=True):
        commands = [None if turn.payload else turn.commands for turn in way.turns]
        engine = engine_for(reaching.engine, case, None, require_actions=False)
        results.append((way, asyncio.run(run_test(engine, case, RecordedCommands(case, commands)))))
    return results


@pytest.mark.parametrize("folder", [*ASSISTANTS, *OTHERS], ids=lambda folder: folder.name)
def test_a_skeleton_of_every_flow_reaches_all_of_its_steps(folder, tmp_path):
    reaching, suite = loaded(folder)
    for flow in reaching.engine.assistant.business_flows:
        places = [(flow.id, step.id) for step in counted(flow)]
        found = skeleton(reaching, places, suite)
        assert not found.unreachable
        reached = set()
        for way, result in played(found, reaching, tmp_path):
            assert result.passed, result
            assert (way.flow, way.step) in result.visited
            reached |= result.visited
        assert reached >= set(places)


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_a_skeleton_of_any_one_step_reaches_it(data, tmp_path_factory):
    folder = data.draw(st.sampled_from(ASSISTANTS))
    reaching, suite = loaded(folder)
    flow = data.draw(st.sampled_from(reaching.engine.assistant.business_flows))
    step = data.draw(st.sampled_from(counted(flow)))
    found = skeleton(reaching, [(flow.id, step.id)], data.draw(st.sampled_from([suite, None])))
    ((way, result),) = played(found, reaching, tmp_path_factory.mktemp("skeleton"))
    assert result.passed
    assert (flow.id, step.id) in result.visited
    assert all(turn.payload or turn.commands or "say something else" in found.text for turn in way.turns)


PARCELS = FOLDER / "parcels"


def test_early_steps_need_no_test_of_their_own():
    reaching, suite = loaded(assistant_folder())
    places = [("book_bed", step.id) for step in counted(reaching.flows["book_bed"])]
    assert len(skeleton(reaching, places, suite).ways) == 2


def test_an_action_answers_what_decides_right_after_it():
    reaching, _ = loaded(FOLDER / "clinic")
    way = reaching.way_to("book_appointment", "offer")
    assert [(action, slot) for action, slot, _ in way.given.answers] == [("action_find_slot", "free_time")]


def test_a_guard_is_met_from_the_beginning(make_assistant):
    assistant = make_assistant(
        "flows:\n  secret:\n    description: a secret\n    if: slots.member\n    steps:\n      - action: utter_secret\n",
        "slots:\n  member: {type: bool, mappings: [{type: controlled}]}\nresponses:\n  utter_secret: [{text: psst}]\n",
    )
    reaching = Reaching(Engine(assistant, None, "newest", require_actions=False))
    step = reaching.flows["secret"].steps[0]
    assert reaching.way_to("secret", step.id).given.beginning == (("member", True),)


def test_a_step_behind_a_contradiction_is_said_to_be_out_of_reach(make_assistant):
    flows = """
    flows:
      odd:
        description: something odd
        steps:
          - collect: size
            next:
              - if: slots.size > 3 and slots.size < 2
                then:
                  - action: utter_never
                    next: END
              - else: END
    """
    domain = "slots:\n  size: {type: float}\nresponses:\n  utter_never: [{text: never}]\n  utter_ask_size: [{text: size}]\n"
    assistant = make_assistant(flows, domain)
    reaching = Reaching(Engine(assistant, None, "newest", require_actions=False))
    never = next(step.id for step in reaching.flows["odd"].steps if "never" in step.id)
    found = skeleton(reaching, [("odd", never)])
    assert found.unreachable == (("odd", never),)
    assert found.text == ""


def test_an_odd_name_of_a_flow_makes_a_test_that_can_be_read(make_assistant, tmp_path):
    name = "a: [/x] \\e[2J \\n #b"
    flows = f'flows:\n  odd:\n    name: "{name}"\n    description: odd\n    steps:\n      - action: utter_x\n'
    assistant = make_assistant(flows, "responses: {utter_x: [{text: x}]}")
    reaching = Reaching(Engine(assistant, None, "newest", require_actions=False))
    found = skeleton(reaching, [("odd", assistant.flows["odd"].steps[0].id)])
    ((_, result),) = played(found, reaching, tmp_path)
    assert result.passed
    assert "\x1b" not in found.text


def test_nothing_is_overwritten(tmp_path):
    tests = tmp_path / "e2e_tests"
    first = write_beside(tests, "reach_x.yml", "one")
    second = write_beside(first, "reach_x.yml", "two")
    assert (first.name, second.name) == ("reach_x.yml", "reach_x_2.yml")
    assert first.read_text() == "one"


def test_tests_are_in_the_form_of_most_others():
    reaching, suite = loaded(assistant_folder())
    assert uses_assertions(suite)
    place = [("shoo_gull", reaching.flows["shoo_gull"].steps[0].id)]
    assert "assertions:" in skeleton(reaching, place, suite).text
    assert "assertions:" not in skeleton(reaching, place).text


async def test_a_flow_whose_tests_reach_all_of_it_needs_none():
    found, _ = await skeleton_of(PARCELS, None, load_assistant(PARCELS).business_flows[0].id)
    assert (found.text, found.unreachable) == ("", ())


@pytest.mark.parametrize(("wanted", "told"), [("rent_boats", "did you mean rent_boat"), ("rent_boat:999", "begin in the lines")])
async def test_what_is_not_there_is_a_sentence(wanted, told):
    with pytest.raises(UsageError, match=told):
        await skeleton_of(assistant_folder(), None, wanted)


def test_the_command_prints_a_test_that_can_be_read(tmp_path):
    result = CliRunner().invoke(cli, ["coverage", str(assistant_folder()), "--skeleton", "rent_boat:27"])
    assert result.exit_code == 0, result.output
    file = tmp_path / "new.yml"
    file.write_text(result.stdout, encoding="utf-8")
    assert "utter_boat_not_rented" in read_tests(file, tmp_path).cases[0].name


def test_a_skeleton_counts_only_when_it_is_filled_in(tmp_path):
    folder = Path(shutil.copytree(assistant_folder(), tmp_path / "lamp", ignore=shutil.ignore_patterns("e2e_tests", "__pycache__")))
    reaching, suite = loaded(assistant_folder())
    found = skeleton(reaching, [("shoo_gull", step.id) for step in reaching.flows["shoo_gull"].steps[-1:]], suite)
    file = write_beside(folder / "e2e_tests", found.file, found.text)
    command = ["coverage", str(folder), "--commands", "infer", "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(cli, command)
    assert "=== 1 undecided ===" in result.stdout
    assert re.search(r"turn 1 \('<ask for .*>', e2e_tests/reach_shoo_gull.*yml:\d+\) is not filled in yet", result.stderr), result.stderr
    text = re.sub(r"<ask for .*>", "a gull is in the kitchen", file.read_text())
    file.write_text(re.sub(r"'?<give .*: (.*)>'?", r"in the \1", text))
    assert "=== 1 passed ===" in CliRunner().invoke(cli, command).stdout, file.read_text()


@pytest.mark.parametrize(
    "pattern", [r"^P[0-9]{4}$", r"^[A-Za-z]{1,3}-?[0-9]{1,4}$", r"^[^@\s]+@[^@\s]+\.\w+$", "(?:ab|cd){2}", r"\+?[1-9]\d{6,}"]
)
def test_an_example_of_a_plain_pattern(pattern):
    assert re.search(pattern, example(pattern))


@pytest.mark.parametrize(
    "pattern", ["(?=x)x", r"(a)\1", "[", "(", "a{2000}", "(((((a{100}){100}){100}){100}){100})", "(" * 5000]
)
def test_no_example_of_any_other(pattern):
    assert example(pattern) is None


@settings(deadline=None)
@given(st.text(alphabet=r"ab1^$.*+?{}[]()|\dws-,2", max_size=25))
def test_an_example_matches_or_is_none(pattern):
    text = example(pattern)
    assert text is None or (len(text) <= LONGEST and re.search(pattern, text))
