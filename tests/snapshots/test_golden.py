"""Every output, byte for byte: one file for each command and format in tests/golden. `pytest --refresh-golden` writes them anew."""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest

from core.wizard import reporting
from core.wizard.session import Session
from tests.rigs.finished import finish_all
from tests.rigs.printed import printed
from tests.rigs.recipe import ASSISTANT, ROOT
from tests.rigs.terminal import Terminal
from tui.cli import cli

GOLDEN = ROOT / "tests" / "golden"
WRONG = """\
assistant: bot
seed: -1
seed: 3
epochs: 3
engine: rasaa
dataset:
  num_rephrases: 80
  batch: "yes"
trainin: {}
training:
  learning_rat: 0.1
  machine: a machine
"""
CASES = {
    "answers-check.txt": "answers check right.yml",
    "answers-check.json": "answers check right.yml --json",
    "answers-check-mistakes.txt": "answers check wrong.yml",
    "answers-check-mistakes.json": "answers check wrong.yml --json",
    "answers-check-syntax.txt": "answers check syntax.yml",
    "answers-schema.json": "answers schema",
    "completion.bash": "completion bash",
    "completion.fish": "completion fish",
    "completion.zsh": "completion zsh",
    "coverage.txt": "coverage bot --commands infer",
    "coverage.json": "coverage bot --commands infer --json",
    "coverage-gate.txt": "coverage bot --commands infer --tests bot/e2e_tests/parcels.yml::tidy things",
    "dataset-show.txt": "dataset show prepared",
    "dataset-show.json": "dataset show prepared --json",
    "doctor-path.txt": "doctor bot",
    "doctor-path.json": "doctor bot --json",
    "events-schema.json": "events schema",
    "gc.txt": "gc one",
    "grammar.txt": "grammar bot",
    "grammar.json": "grammar bot --json",
    "mistake-command.txt": "statsu",
    "mistake-option.txt": "run --wrong",
    "mistake-set.txt": "run --set training.epohcs=1 --set epochs=2 --set coverge.a=1 --set seed --set seed=-1 --set tests=[",
    "models.txt": "models",
    "models.json": "models --json",
    "plan.txt": "run --answers right.yml --plan",
    "plan.json": "run --answers right.yml --plan --json",
    "plan-finished.txt": "run --session one --plan --set coverage.total_min=0.5 --force training --until evaluation",
    "report.html": "report one --format html",
    "report.json": "report one --json",
    "report.md": "report one --format md",
    "report.txt": "report one",
    "resume.txt": "resume one --until dataset",
    "resume.jsonl": "resume one --until dataset --json",
    "run-invalid.jsonl": "run --set seed=-1 --json",
    "run-nothing.txt": "run",
    "sessions.txt": "sessions",
    "sessions.json": "sessions --json",
    "status.txt": "status one",
    "status.json": "status one --json",
    "stop.txt": "stop one",
}
"""File → command line."""
NOT_HERE = {
    "attach": "opens the app",
    "demo": "trains",
    "train": "trains; prints what resume prints",
    "prepare": "prints what resume prints",
    "evaluate": "prints what resume prints",
    "deploy": "prints what resume prints",
    "connect": "prints what resume prints",
    "export": "tests/contracts",
    "offers": "asks SkyPilot's catalog",
    "probe": "asks a server",
    "proxy": "serves",
    "serve": "serves",
    "web": "serves",
    "answers init": "its file is the golden one below",
    "dataset accept": "changes a file",
    "dataset reject": "changes a file",
    "dataset edit": "changes a file",
    "dataset undo": "changes a file",
}
"""Command → why its output is looked at elsewhere."""


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """A folder with an assistant, answers files and two sessions."""
    folder = tmp_path_factory.mktemp("here")
    shutil.copytree(ASSISTANT, folder / "bot")
    (folder / "right.yml").write_text("assistant: bot\ncommands: infer\ntraining: {epochs: 2}\n")
    (folder / "wrong.yml").write_text(WRONG)
    (folder / "syntax.yml").write_text("assistant: bot\n\ttraining: {}\n")
    home = folder / ".calmtune" / "sessions"
    session = Session.create(home, "prepared")
    session.answer("session", {"assistant": str(folder / "bot"), "commands": "infer"})
    session.answer("dataset", {"num_rephrases": 0})
    session.close()
    session = Session.create(home, "one")
    session.answer("session", {"assistant": str(folder / "bot"), "commands": "infer"})
    finish_all(session)
    session.close()
    return folder


@pytest.fixture(autouse=True)
def there(here, monkeypatch):
    for minutes, name in enumerate(("one", "prepared")):  # as last used, whatever the tests before have done
        os.utime(here / ".calmtune" / "sessions" / name / "session.db", (time.time() - 60 * minutes,) * 2)
    for name in list(os.environ):
        if name.startswith(("CALMTUNE_", "OPENAI_", "LC_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(reporting, "_version", lambda package: "1.0")
    monkeypatch.chdir(here)


def steady(written: bytes, here: Path) -> bytes:
    """Without what differs from place to place and from day to day."""
    text = written.decode()
    text = text.replace(str(here.resolve()), "/here").replace(str(here), "/here")
    text = re.sub(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)?", "2025-07-14T10:32:00Z", text)
    text = re.sub(r"\d{1,2} [A-Z][a-z]+ \d{4}, \d\d:\d\d", "14 July 2025, 10:32", text)
    text = re.sub(r'seconds": [\d.]+', 'seconds": 0', text)
    text = text.replace(platform.python_version(), "3.11.9").replace(f"{platform.system()} {platform.machine()}", "Linux x86_64")
    text = re.sub(r"(?<=-)[0-9a-f]{12}\b", "0123456789ab", text)
    text = re.sub(r"\b[0-9a-f]{64}\b", "0" * 64, text)
    return text.encode()


@pytest.fixture
def golden(request, here):
    def compare(name: str, found: bytes) -> None:
        path = GOLDEN / name
        found = steady(found, here)
        if request.config.getoption("--refresh-golden"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(found)
        assert path.is_file(), f"no {path}; pytest --refresh-golden writes it"
        assert found.decode() == path.read_text(encoding="utf-8")

    return compare


@pytest.fixture(scope="module")
def prepared(here):
    before = Path.cwd()
    os.chdir(here)
    try:
        assert printed(["prepare", "--session", "prepared"]).code == 0
    finally:
        os.chdir(before)


def words(line: str) -> list[str]:
    return [word.replace("tidy", "tidy things") for word in line.replace("tidy things", "tidy").split()]


@pytest.mark.usefixtures("prepared")
@pytest.mark.parametrize("name", CASES)
def test_output(name, golden):
    found = printed(words(CASES[name]))
    if name.endswith(".txt"):
        parts = [f"$ calmtune {CASES[name]}\n".encode(), found.out, b"-- stderr\n", found.err, f"-- exit {found.code}\n".encode()]
        golden(name, b"".join(parts))
    else:
        golden(name, found.out)
        if name.endswith(".json"):
            json.loads(found.out)


def commands(group: click.Group = cli, before: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = []
    for name, command in group.commands.items():
        found.append((*before, name))
        if isinstance(command, click.Group):
            found += commands(command, (*before, name))
    return found


@pytest.mark.parametrize("command", [(), *commands()], ids=lambda command: "-".join(command) or "calmtune")
def test_help(command, golden):
    found = printed([*command, "--help"])
    assert found.code == 0
    found.out.decode("ascii")
    golden(f"help/{'-'.join(command) or 'calmtune'}.txt", found.out)


def test_the_answers_template(golden, here):
    (here / "a").mkdir(exist_ok=True)
    (here / "a" / "answers.yml").unlink(missing_ok=True)
    assert printed(["answers", "init", "a/answers.yml", "--schema"]).code == 0
    golden("answers-init.yml", (here / "a" / "answers.yml").read_bytes())
    golden("answers-schema.json", (here / "a" / "answers.schema.json").read_bytes())


def test_every_command_has_its_file_or_a_reason():
    shown = {line.split(" -")[0] for line in CASES.values()}
    for command in commands():
        name = " ".join(command)
        leaf = not any(other[: len(command)] == command and other != command for other in commands())
        assert not leaf or name in NOT_HERE or any(f"{line} ".startswith(f"{name} ") for line in shown), name
    kept = {path.name for path in GOLDEN.iterdir() if path.is_file()}
    assert kept == {*CASES, "answers-init.yml"}
    assert {path.stem for path in (GOLDEN / "help").iterdir()} == {"calmtune", *("-".join(command) for command in commands())}


_ALIKE = ("status.txt", "sessions.json", "plan-finished.txt", "answers-check-mistakes.txt", "report.md", "models.txt")
SHOWN = [words(CASES[name]) for name in _ALIKE]


def child(*arguments: str) -> list[str]:
    return [sys.executable, str(ROOT / "tests" / "rigs" / "printed.py"), json.dumps(arguments[0] if arguments else SHOWN)]


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), **more}


def piped(**more: str) -> bytes:
    done = subprocess.run(child(), env=environment(**more), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=True)
    return done.stdout


@pytest.fixture(scope="module")
def plainly(here):
    before = Path.cwd()
    os.chdir(here)
    try:
        return piped()
    finally:
        os.chdir(before)


def test_the_same_bytes_on_a_terminal_a_pipe_and_in_a_file(plainly, here):
    with (here / "written").open("wb") as file:
        subprocess.run(child(), env=environment(), stdout=file, stderr=subprocess.STDOUT, check=True)
    with Terminal(child(), here, environment(TERM="xterm-256color"), (50, 80)) as terminal:
        assert terminal.end() == 0
    assert b"\x1b" not in plainly
    assert steady((here / "written").read_bytes(), here) == steady(plainly, here)
    assert steady(terminal.written.replace(b"\r\n", b"\n"), here) == steady(plainly, here)
    assert "≥".encode() in plainly


@pytest.mark.parametrize(
    "variables", [{"NO_COLOR": "1", "TERM": "dumb"}, {"LANG": "de_DE.UTF-8", "TERM": "vt100"}], ids=lambda given: " ".join(given)
)
def test_nothing_depends_on_the_kind_of_terminal(variables, plainly, here):
    assert steady(piped(**variables), here) == steady(plainly, here)


@pytest.mark.parametrize("variables", [{"LC_ALL": "C"}, {"LC_ALL": "POSIX"}, {"PYTHONIOENCODING": "ascii"}], ids=str)
def test_where_only_ascii_can_be_shown(variables, plainly):
    found = piped(**variables).decode("ascii")
    assert "\\u" not in found.replace('"\\u', "")
    assert ">=" in found
    assert "->" in found
    assert len(found.splitlines()) == len(plainly.splitlines())


def test_latin_1_has_its_own_letters_and_signs_in_ascii():
    found = printed(["status", "one"], "latin-1")
    assert found.out.decode("latin-1").isascii()
    assert printed(["answers", "check", "wrong.yml"], "latin-1").err.decode("latin-1")
