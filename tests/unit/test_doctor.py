"""`calmtune doctor PATH`: what a project uses, what runs, and what is wrong with it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from core.assistant.inventory import Feature
from core.errors import UsageError
from core.evaluation.doctor import diagnose
from tui.cli import cli

HOTLINE = Path(__file__).resolve().parents[1] / "assistants" / "hotline"


def doctor(*arguments: str):
    done = CliRunner().invoke(cli, ["doctor", *arguments])
    assert done.exception is None or isinstance(done.exception, (UsageError, SystemExit)), done.exception
    return done


@pytest.fixture
def hotline(tmp_path) -> Path:
    return shutil.copytree(HOTLINE, tmp_path / "hotline")


def test_the_page_of_a_project():
    assert doctor(str(HOTLINE)).stdout == (HOTLINE / "doctor.txt").read_text()


def test_the_same_as_json():
    found = json.loads(doctor(str(HOTLINE), "--json").stdout)
    assert found["runs"] is True
    assert found["counts"] == {"flows": 2, "patterns": 1, "slots": 3, "responses": 4, "tests": 1}
    assert (found["generator"], found["dialect"]) == ("CompactLLMCommandGenerator", "v2")
    assert found["patterns"]["set"] == "newest"
    page = (HOTLINE / "doctor.txt").read_text()
    assert len(found["features"]) == 53
    for feature in found["features"]:
        assert feature.keys() == {"kind", "name", "count", "file", "line", "verdict", "why"}
        assert f"{feature['file']}:{feature['line']}" in page
    for problem in found["problems"]:
        assert f"{problem['severity']}: {problem['file']}:{problem['line']}: {problem['message']}" in page


def test_a_project_with_errors_still_gets_its_table(hotline):
    flows = hotline / "data" / "flows.yml"
    flows.write_text(
        flows.read_text().replace("- action: utter_reported", "- call: researcher\n      - collect: nothing")
    )
    (hotline / "e2e_tests" / "outages.yml").write_text("test_cases: [{test_case: one, steps: [{user: hi, utters: x}]}]")
    done = doctor(str(hotline))
    assert isinstance(done.exception, UsageError)
    assert str(done.exception) == "3 errors keep this project from running; see above"
    for line in (
        "error: data/flows.yml:10: call of researcher, which is an agent (sub_agents/researcher); agents are not supported",
        "error: data/flows.yml:11: slot nothing is not in the domain",
        "error: e2e_tests/outages.yml:1: utters is not a key of a user step",
    ):
        assert line in done.stdout, line
    assert "step            action" in done.stdout
    assert "assistant            2 flows, 1 patterns, 3 slots, 4 responses, 1 tests" in done.stdout


def test_files_that_are_no_yaml_are_left_out_of_the_table(hotline):
    (hotline / "domain.yml").write_text("slots: [")
    (hotline / "e2e_tests" / "outages.yml").write_text("test_cases: {")
    found = diagnose(hotline)
    assert {problem.file for problem in found.errors} == {"domain.yml", "e2e_tests/outages.yml"}
    assert any(feature.kind == "step" for feature in found.features)


def test_without_tests_the_rest_is_shown(hotline):
    shutil.rmtree(hotline / "e2e_tests")
    done = doctor(str(hotline))
    assert done.exception is None
    assert "no end-to-end tests found" in done.stdout
    assert "action_find_cause" in done.stdout


def who_runs(folder: Path, action: str) -> Feature:
    return next(f for f in diagnose(folder).features if (f.kind, f.name) == ("custom action", action))


def test_who_runs_the_actions(hotline):
    assert who_runs(hotline, "action_recognise").why == "by the server http://localhost:5055/webhook"
    (hotline / "endpoints.yml").write_text("action_endpoint: {actions_module: actions.all}")
    missing = who_runs(hotline, "action_recognise")
    assert missing.verdict == "left aside"
    assert missing.why == "nobody runs it: the module actions.all is not in the folder, and no test stubs it"
    assert who_runs(hotline, "action_find_cause").why == "by a stub of one test"
    (hotline / "actions").mkdir()
    (hotline / "actions" / "all.py").write_text("")
    assert who_runs(hotline, "action_recognise").why == "by the module actions.all"
    (hotline / "endpoints.yml").unlink()
    assert "endpoints.yml names no action_endpoint" in who_runs(hotline, "action_recognise").why


def test_conversation_repair_can_be_chosen(hotline):
    assert "3.14: chosen by hand" in doctor(str(hotline), "--patterns", "3.14").stdout


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("nowhere",), "is not a folder"),
        (("--tests", "x.yml"), "go with PATH"),
        ((str(HOTLINE), "--host", "there"), "give either PATH"),
        ((str(HOTLINE), "--tests", "nowhere.yml"), "nowhere.yml does not exist"),
    ],
)
def test_mistakes_are_sentences(arguments, sentence):
    done = doctor(*arguments)
    assert sentence in str(done.exception)
    assert done.stdout == ""


def test_a_test_that_can_never_pass_is_told(hotline):
    (hotline / "e2e_tests" / "more.yml").write_text(
        "test_cases:\n- test_case: misspelt\n  steps:\n  - user: my line is dead\n  - utter: utter_reportet\n"
    )
    told = "warning: e2e_tests/more.yml:5: test misspelt cannot pass: there is no response utter_reportet; did you mean utter_reported?"
    assert told in doctor(str(hotline)).stdout
