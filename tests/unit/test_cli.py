"""The command line: what it prints where, and how it ends."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from core.wizard import answers as answering
from core.wizard.session import Session
from tui.opening import typed_path

ROOT = Path(__file__).resolve().parents[2]
PARCELS = ROOT / "tests" / "assistants" / "parcels"


@pytest.fixture
def calmtune(tmp_path):
    def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "PYTHONPATH": str(ROOT), **variables}
        environment.pop("OPENAI_API_KEY", None)
        command = [sys.executable, "-m", "tui.cli", *arguments]
        return subprocess.run(
            command,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            env=environment,
            stdin=subprocess.DEVNULL,
            check=False,
        )

    return run


def test_coverage_as_json_is_one_object_on_stdout(calmtune):
    done = calmtune("coverage", str(PARCELS), "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert {"passed", "failed", "undecided", "flows", "total", "commands", "gates"} <= found.keys()
    assert len(found["passed"]) == 12
    assert found["failed"] == found["undecided"] == []
    assert found["total"] == 1.0
    assert found["flows"][0].keys() >= {"flow", "coverage", "steps", "missing", "lines"}
    assert found["gates"][0].keys() == {"name", "required", "measured", "passed"}
    assert found["commands"]["start flow"] == 11
    assert "OPENAI_API_KEY is not set" in done.stderr


def test_coverage_writes_the_files_of_the_recipe(calmtune, tmp_path):
    calmtune("coverage", str(PARCELS))
    names = {path.name for path in (tmp_path / "e2e_coverage_results").iterdir()}
    assert {
        "passed.yml",
        "failed.yml",
        "coverage_report_for_passed_tests.csv",
        "coverage_report_for_failed_tests.csv",
        "commands_histogram_for_passed_tests.png",
        "commands_histogram_for_failed_tests.png",
    } <= names


def test_a_recording_gives_the_same_coverage(calmtune, tmp_path):
    calmtune("coverage", str(PARCELS), "--out", "first")
    again = calmtune("coverage", str(PARCELS), "--commands", "first/commands.yml", "--json")
    assert json.loads(again.stdout)["total"] == 1.0
    assert len(json.loads(again.stdout)["passed"]) == 12


def test_commands_that_no_model_is_told_of_are_named(calmtune):
    kennel = PARCELS.parent / "kennel"
    done = calmtune("coverage", str(kennel), "--commands", str(kennel / "commands.yml"))
    assert "1 test needs the command chitchat, of which prompts of form v3 tell no model" in done.stderr


def test_a_gate_that_is_not_reached_ends_with_five(calmtune):
    done = calmtune("coverage", str(PARCELS), "--tests", f"{PARCELS}/e2e_tests/parcels.yml::tidy things")
    assert done.returncode == 5
    assert "FAILED: total coverage" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (("coverage", "nowhere"), 2, "nowhere is not a folder"),
        (("coverage", "."), 2, "holds no assistant"),
        (("coverage", str(PARCELS), "--tests", "no.yml"), 2, "no.yml does not exist"),
        (("coverage", str(PARCELS), "--commands", "guess"), 2, "there is no file guess"),
        (("coverage", str(PARCELS), "--commands", "llm"), 2, "OPENAI_API_KEY is not set"),
        (("run",), 2, "nothing to run"),
        (("run", "--answers", "none.yml"), 2, "there is no file none.yml"),
        (("run", "--answers", "empty.yml"), 2, "empty.yml:1: assistant is missing and must be answered"),
        (("answers", "init", "no/such/a.yml"), 2, "no/such/a.yml cannot be written (No such file or directory); name another place"),
        (("coverage", str(PARCELS), "--out", "/dev/null"), 2, "/dev/null cannot be written"),
        (("run", "--set", "assistant=nowhere"), 2, "nowhere is not a folder"),
        (("run", "--set", "assistant=."), 2, "holds no assistant"),
        (("prepare", "nowhere"), 2, "nowhere is not a folder"),
        (("prepare", str(PARCELS), "--set", "training.epochs=0"), 2, "0 is not more than 0"),
        (("train", "--session", "tpyo"), 2, "there is no session tpyo; name the assistant's folder too"),
        (("run", "--set", "training.epochs=0"), 2, "0 is not more than 0"),
        (("run", "--set", "training.epohcs=1"), 2, "did you mean epochs?"),
        (("run", "--plain"), 2, "no terminal to ask in"),
        (("run", "--plain", "--plan"), 2, "give either it, or --json and --plan"),
        ((), 2, "calmtune run --answers"),
        (("attach",), 2, "no terminal to open the app in"),
        (("resume",), 2, "no session in"),
        (("resume", "x"), 2, "is no session"),
        (("status", "x"), 2, "is no session"),
        (("coverage", "--wrong"), 2, "No such option"),
    ],
)
def test_mistakes_are_sentences(calmtune, tmp_path, arguments, code, sentence):
    (tmp_path / "empty.yml").touch()
    done = calmtune(*arguments)
    assert done.returncode == code, done.stderr
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert not (tmp_path / ".calmtune").exists(), "a mistake leaves no session behind"


def test_three_mistakes_in_an_answers_file_are_three_lines(calmtune, tmp_path):
    (tmp_path / "answers.yml").write_text(
        "assistant: bot\n"
        "commands: infer\n"
        "dataset:\n"
        "  num_rephrases: 80\n"
        "training:\n"
        "  epochs: 0\n"
        "  learning_rat: 0.001\n"
    )
    for command in (("answers", "check", "answers.yml"), ("run", "--answers", "answers.yml")):
        done = calmtune(*command)
        assert done.returncode == 2
        assert done.stderr.splitlines() == [
            "answers.yml:4: dataset.num_rephrases: 80 is not at most 49",
            "answers.yml:6: training.epochs: 0 is not more than 0",
            "answers.yml:7: training.learning_rat is not a question; did you mean learning_rate?",
        ]


def test_the_template_is_a_valid_answers_file(calmtune, tmp_path):
    assert calmtune("answers", "init", "a.yml").returncode == 0
    checked = calmtune("answers", "check", "a.yml")
    assert checked.returncode == 0
    assert "assistant: " in checked.stderr
    assert "path/to/it is no folder here" in checked.stderr
    assert "exists already" in calmtune("answers", "init", "a.yml").stderr


def test_the_schema_names_every_question(calmtune):
    schema = json.loads(calmtune("answers", "schema").stdout)
    assert {"assistant", "coverage", "training"} <= schema["properties"].keys()


def test_every_question_has_help_and_a_title():
    from core.wizard.recipe import STEP_IDS

    for section in (answering.SESSION, *STEP_IDS):
        for question in answering.questions(section):
            assert question.help.endswith((".", ")")), question
            assert question.title


def test_keys_are_not_shown(calmtune):
    done = calmtune("coverage", "sk-canary123456789", MY_TOKEN="another-canary-value")
    assert "canary123456789" not in done.stderr
    assert (
        "another-canary-value"
        not in calmtune("coverage", "another-canary-value", MY_TOKEN="another-canary-value").stderr
    )


def test_output_is_the_same_on_a_pipe_and_in_a_file(calmtune, tmp_path):
    one = calmtune("coverage", str(PARCELS), "--json").stdout
    two = calmtune("coverage", str(PARCELS), "--json", NO_COLOR="1", TERM="dumb").stdout
    assert one == two


def test_doctor_looks_at_this_machine(calmtune):
    found = {row["what"]: row["state"] for row in json.loads(calmtune("doctor", "--json").stdout)}
    assert "cores" in found["this machine"] or "GB" in found["this machine"]


def test_base_models_are_listed(calmtune, tmp_path):
    done = calmtune("models")
    assert done.returncode == 0, done.stderr
    line = next(line for line in done.stdout.splitlines() if line.startswith("meta-llama/Llama-3.1-8B-Instruct"))
    assert "8.03 B" in line
    assert "gated" in line
    assert " 21 GB" in line
    assert "hybrid: no shared prefixes" in done.stdout
    found = json.loads(calmtune("models", "--json").stdout)
    assert found["as_of"]
    by_name = {model["name"]: model for model in found["models"]}
    assert by_name["Qwen/Qwen3-4B-Instruct-2507"]["shared_prefixes"] is True
    assert by_name["Qwen/Qwen3.5-4B"]["lora_bytes"] is None
    own = tmp_path / "models.yml"
    own.write_text(
        "as_of: 2026-11-20\nmodels:\n  me/mine: {parameters: 1, licence: mine, gated: false, context: 10, attention: full}\n"
    )
    assert "me/mine" in calmtune("models", CALMTUNE_MODELS=str(own)).stdout
    own.write_text("as_of: 2026-11-20\nmodels:\n  me/mine: {parameters: 0}\n")
    wrong = calmtune("models", CALMTUNE_MODELS=str(own))
    assert wrong.returncode == 2
    assert "models.me/mine.parameters" in wrong.stderr


@pytest.mark.parametrize("typed", ["my bot", "'my bot'", '"my bot"', "my\\ bot", "~/my bot", "~/'my bot'", "it's"])
def test_a_path_may_be_quoted_as_terminals_do_to_what_is_dragged_into_them(tmp_path, monkeypatch, typed):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("my bot", "it's"):
        (tmp_path / name).mkdir()
    assert typed_path(typed).is_dir()
    assert typed_path("no 'such").name == "no 'such"


@pytest.mark.parametrize("command", [("--set", "assistant=~/bot"), ("--answers", "a.yml")])
def test_an_assistant_in_the_home_folder_is_found(calmtune, tmp_path, command):
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "bot").symlink_to(PARCELS)
    (tmp_path / "a.yml").write_text("assistant: ~/bot\n")
    done = calmtune("run", *command, "--plan", HOME=str(tmp_path / "home"))
    assert done.returncode == 0, done.stderr


def test_a_session_that_cannot_be_read_hides_no_other(calmtune, tmp_path):
    Session.create(tmp_path / ".calmtune" / "sessions", "begun").close()
    (tmp_path / ".calmtune" / "sessions" / "newer").mkdir()
    sqlite3.connect(tmp_path / ".calmtune" / "sessions" / "newer" / "session.db").execute("PRAGMA user_version = 99")
    done = calmtune("sessions", "--json")
    assert done.returncode == 0, done.stderr
    states = {row["session"]: (row["step"], row["state"]) for row in json.loads(done.stdout)}
    assert states == {"begun": ("coverage", "blocked"), "newer": ("", "unreadable")}
    assert "upgrade calmtune" in calmtune("sessions").stdout


def test_a_reader_that_has_enough_is_no_failure(tmp_path):
    command = [sys.executable, "-m", "tui.cli", "answers", "schema"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as started:
        started.stdout.close()  # before anything is written
        assert started.stderr.read() == b""
    assert started.returncode == 0


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_are_as_empty_ones(tmp_path, closed):
    command = f"exec {sys.executable} -m tui.cli sessions {closed}"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    assert subprocess.run(["sh", "-c", command], cwd=tmp_path, env=environment, check=False, capture_output=True).returncode == 0
    done = subprocess.run(
        ["sh", "-c", command.replace("sessions", "run --plain")], cwd=tmp_path, env=environment, check=False, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "mistake in calmtune" not in done.stderr


def test_the_demo_is_not_mixed_into_a_session_of_somebody(calmtune, tmp_path):
    session = Session.create(tmp_path / ".calmtune" / "sessions", "mine")
    session.answer("session", {"assistant": str(PARCELS)})
    session.close()
    done = calmtune("demo", "--session", "mine")
    assert (done.returncode, done.stdout) == (2, "")
    assert "session mine is not the demo's" in done.stderr
    assert not (session.folder / "sample").exists()
