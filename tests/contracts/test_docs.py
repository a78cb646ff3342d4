"""What the documentation says is so: generated pages are current, it builds, and what it names exists."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from core.wizard.answers import SESSION, questions
from core.wizard.recipe import STEP_IDS
from docs.write_reference import HERE as REFERENCE
from docs.write_reference import PAGES
from tui.cli import cli

ROOT = Path(__file__).parents[2]
TEXTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
NAMES = [str(text.relative_to(ROOT)) for text in TEXTS]


@pytest.mark.parametrize("name", PAGES)
def test_pages_that_follow_from_the_code_are_current(name):
    assert (REFERENCE / name).read_text() == PAGES[name](), "run `make reference`"


def test_the_documentation_builds_without_a_warning(tmp_path):
    command = [
        sys.executable,
        "-m",
        "sphinx",
        "-W",
        "--keep-going",
        "-q",
        "-b",
        "html",
        str(ROOT / "docs"),
        str(tmp_path),
    ]
    built = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONWARNINGS": "ignore"})
    assert built.returncode == 0, built.stderr
    assert (tmp_path / "tutorial.html").is_file()


def test_every_answer_is_documented():
    page = (REFERENCE / "answers.md").read_text()
    for section in (SESSION, *STEP_IDS):
        for question in questions(section):
            assert f"**`{question.field}`** {question.help[:3]}" in page
            assert question.help, f"{section}.{question.field} has no help"


def test_every_option_is_documented():
    for command in commands(cli):
        for parameter in command.params:
            if isinstance(parameter, click.Option) and not parameter.hidden:
                assert parameter.help, f"{command.name} {parameter.opts} has no help"


def commands(group: click.Group) -> Iterator[click.Command]:
    for command in group.commands.values():
        if isinstance(command, click.Group):
            yield from commands(command)
        else:
            yield command


def test_every_variable_is_documented():
    code = "\n".join(
        file.read_text() for folder in ("core", "tui", "provisioning") for file in (ROOT / folder).rglob("*.py")
    )
    page = (REFERENCE / "files.md").read_text()
    named = set(re.findall(r"\bCALMTUNE_[A-Z_]*[A-Z]\b", code))
    assert named
    assert {name for name in named if f"`{name}`" not in page} == set()


@pytest.mark.parametrize("text", TEXTS, ids=NAMES)
def test_command_lines_in_texts_are_understood(text):
    for line in command_lines(text.read_text()):
        arguments = [part for part in shlex.split(line) if part != "--debug"]
        command, rest = cli, arguments[1:]
        while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
            assert rest[0] in command.commands, f"{text.name}: {line}"
            command, rest = command.commands[rest[0]], rest[1:]
        known = {name for parameter in command.params for name in parameter.opts} | {"-h", "--help"}
        used = {part.partition("=")[0] for part in rest if part.startswith("--")}
        assert used <= known, f"{text.name}: {line}: {used - known}"


def command_lines(text: str) -> Iterator[str]:
    """Lines that begin with `calmtune` in code, whole and inline, without their comments; a path may stand before it."""
    blocks = re.findall(r"^```(?:sh|bash)?\n(.*?)^```", text, re.M | re.S)
    for line in "\n".join(blocks).replace("\\\n", " ").splitlines():
        if found := re.match(r"\s*(?:\S*/)?(calmtune\b.*)", line.partition("   #")[0]):
            yield found[1].split(" && ")[0].split(" > ")[0]
    for inline in re.findall(r"`(calmtune [^`\n]+)`", text):
        if not re.search(r"[…\[\]|]", inline):
            yield inline


@pytest.mark.parametrize("text", TEXTS, ids=NAMES)
def test_answers_named_in_texts_exist(text):
    known = {f"{section}.{question.field}" for section in (SESSION, *STEP_IDS) for question in questions(section)}
    written = set(re.findall(rf"\b(?:{'|'.join((SESSION, *STEP_IDS))})\.\w+", text.read_text()))
    files = {name for name in written if re.search(r"\.(yml|json|db|pyz|yaml)$", name)}
    assert written - files <= known
