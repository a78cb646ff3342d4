"""`calmtune run --json`: a real run's lines against the published schema."""

from __future__ import annotations

import json
import os
import signal
import subprocess

import jsonschema
import pytest

from core.wizard import event_lines
from core.wizard.events import Cost, Log, MachineCost, Metric, Notice, Progress
from core.wizard.step import Gate
from tests.rigs.recipe import ASSISTANT, ROOT, calmtune, command

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "MY_TOKEN": "a parcel is booked"}


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ran")
    (folder / "answers.yml").write_text(f"assistant: {ASSISTANT}\ncommands: infer\n")
    done = calmtune(
        folder, ENVIRONMENT, "run", "--answers", "answers.yml", "--session", "one", "--until", "coverage", "--json"
    )
    assert done.returncode == 0, done.stderr
    return folder, done


@pytest.fixture(scope="module")
def validator(ran):
    printed = json.loads(calmtune(ran[0], ENVIRONMENT, "events", "schema").stdout)
    jsonschema.Draft202012Validator.check_schema(printed)
    return jsonschema.Draft202012Validator(printed, format_checker=jsonschema.FormatChecker())


def test_every_line_of_a_run_is_valid_and_the_last_holds_the_outcome(ran, validator):
    lines = [json.loads(line) for line in ran[1].stdout.splitlines()]
    for line in lines:
        validator.validate(line)
    assert lines[0]["type"] == "step began"
    assert {"progress", "notice", "step ended"} <= {line["type"] for line in lines}
    assert [line["type"] for line in lines].count("end") == 1
    end = lines[-1]
    assert (end["type"], end["outcome"], end["exit_code"], end["session"]) == ("end", "passed", 0, "one")
    assert [step["state"] for step in end["steps"]][:2] == ["fresh", "ready"]
    status = json.loads(calmtune(ran[0], ENVIRONMENT, "status", "one", "--json").stdout)
    assert [step["gates"] for step in status["steps"]] == [step["gates"] for step in end["steps"]]
    assert status["steps"][0]["folder"] == end["steps"][0]["folder"]


def test_secrets_are_taken_out_of_lines(ran):
    assert "a parcel is booked" not in ran[1].stdout
    assert "********" in ran[1].stdout


@pytest.mark.parametrize(
    ("arguments", "code", "outcome", "session"),
    [
        (("resume", "one", "--until", "coverage"), 0, "passed", "one"),
        (("run", "--session", "one", "--until", "coverage", "--set", "coverage.min_command_samples=99"), 5, "gate failed", "one"),
        (("run", "--set", "coverage.total_min=2"), 2, "invalid", None),
        (("resume", "none"), 2, "invalid", None),
        (("prepare",), 2, "invalid", None),
    ],
)
def test_however_it_ends_there_is_a_last_line(ran, validator, arguments, code, outcome, session):
    done = calmtune(ran[0], ENVIRONMENT, *arguments, "--json")
    end = json.loads(done.stdout.splitlines()[-1])
    validator.validate(end)
    assert (done.returncode, end["exit_code"], end["outcome"], end["session"]) == (code, code, outcome, session)
    assert bool(end["message"]) == bool(code)
    assert end["message"].splitlines()[0] in done.stderr if code else True


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_ctrl_c_and_its_like_have_their_last_line_too(ran, validator, tmp_path, number):
    arguments = command("run", "--answers", str(ran[0] / "answers.yml"), "--until", "coverage", "--json")
    with subprocess.Popen(arguments, cwd=tmp_path, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        first = json.loads(run.stdout.readline())
        run.send_signal(number)
        lines = [first, *map(json.loads, run.stdout.read().splitlines())]
        told = run.stderr.read() if run.stderr else ""
    assert run.returncode == 130
    assert (lines[-1]["type"], lines[-1]["exit_code"], lines[-1]["outcome"]) == ("end", 130, "cancelled")
    assert "`calmtune resume` goes on" in told
    for line in lines:
        validator.validate(line)


def test_a_reader_that_goes_away_does_not_stop_the_run(ran, tmp_path):
    arguments = command("run", "--answers", str(ran[0] / "answers.yml"), "--session", "two", "--until", "coverage", "--json")
    with subprocess.Popen(arguments, cwd=tmp_path, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as run:
        assert run.stdout is not None
        run.stdout.readline()
        run.stdout.close()
    assert run.returncode == 0
    assert "coverage    fresh" in calmtune(tmp_path, ENVIRONMENT, "status", "two").stdout


@pytest.mark.parametrize(
    "event",
    [
        Progress(1, 2.5, "rows", 3.0, "training"),
        Log("a line"),
        Metric(3, {"loss": 0.5, "eval_loss": float("nan")}),
        Cost(0.02),
        Notice("warning", "look"),
        MachineCost(1.0, 2.0, None),
        event_lines.StepBegan(1, "Coverage review", ""),
        event_lines.StepEnded("gate failed", "too little", None, [Gate("all", "≥ 1", "0", False)]),
        event_lines.Ended("failed", 1, "why", [event_lines.StepFacts("dataset", "ready", "", None, (), {"a": [1]})]),
    ],
)
def test_every_declared_event_has_a_line_that_is_valid(event):
    line = event_lines.as_line(event, "training", "one", "2025-07-14T10:32:00.000Z")
    json.dumps(line, allow_nan=False)
    validator = jsonschema.Draft202012Validator(event_lines.schema())
    validator.validate(line)
    assert not validator.is_valid({**line, "version": 2})
    assert not validator.is_valid({name: value for name, value in line.items() if name != "session"})


def test_the_declarations_are_all_published_with_words():
    found = event_lines.schema()
    assert len(found["oneOf"]) == len(event_lines.TYPES) == 9
    for definition in found["$defs"].values():
        assert definition["description"]
    assert "training_step" in found["$defs"]["Metric"]["properties"]
