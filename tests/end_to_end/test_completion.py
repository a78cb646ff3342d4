"""Completion as bash itself does it: the printed script, in a terminal, with the Tab key."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

from core.wizard.session import Session
from tests.rigs.recipe import ROOT
from tests.rigs.terminal import Terminal

REPLIES = """
source ./script
COMP_LINE=$1 COMP_POINT=${#1} COMP_TYPE=9
compopt() { echo "compopt $1 $2" >&2; }
_calmtune_completion calmtune
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """A folder with two sessions, and a `calmtune` on the path."""
    folder = tmp_path_factory.mktemp("here")
    for name in ("nightly", "nice"):
        Session.create(folder / ".calmtune" / "sessions", name).close()
    (folder / "bin").mkdir()
    (folder / "bin" / "calmtune").write_text(f'#!/bin/sh\nexec {sys.executable} -m tui.cli "$@"\n')
    (folder / "bin" / "calmtune").chmod(0o755)
    (folder / "config").write_text("Host gpu box\n  User me\nHost *.example\n")
    (folder / "answers-mine.yml").write_text("assistant: x\n")
    printed = subprocess.run(["calmtune", "completion", "bash"], env=environment(folder), capture_output=True, text=True, check=True)
    (folder / "script").write_text(printed.stdout)
    return folder


def environment(here):
    path = f"{here / 'bin'}:{os.environ['PATH']}"
    return {**os.environ, "PYTHONPATH": str(ROOT), "PATH": path, "CALMTUNE_SSH_CONFIG": str(here / "config"), "TERM": "dumb"}


def replies(here, line):
    done = subprocess.run(
        ["bash", "--norc", "-c", REPLIES, "bash", line], cwd=here, env=environment(here), capture_output=True, text=True, check=False
    )
    return done.stdout.split(), done.stderr


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("calmtune sta", ["status"]),
        ("calmtune status ni", ["nice", "nightly"]),
        ("calmtune resume nig", ["nightly"]),
        ("calmtune run --until pro", ["production"]),
        ("calmtune run --session ni", ["nice", "nightly"]),
        ("calmtune run --set tra", ["training."]),
        ("calmtune run --set training.lear", ["training.learning_rate="]),
        ("calmtune run --set training.effort=s", ["standard"]),
        ("calmtune run --set evaluation.machine=", ["local", "ssh:box", "ssh:gpu", "sky"]),
        ("calmtune run --set evaluation.machine=ssh:g", ["gpu"]),
        ("calmtune run --set dataset.batch=", ["true", "false"]),
        ("calmtune offers ss", ["ssh:box", "ssh:gpu"]),
        ("calmtune doctor --host g", ["gpu"]),
        ("calmtune completion f", ["fish"]),
    ],
)
def test_bash_is_offered(here, line, expected):
    found, told = replies(here, line)
    assert sorted(found) == sorted(expected), told


def test_files_are_left_to_bash(here):
    found, told = replies(here, "calmtune run --answers ans")
    assert found == []
    assert "compopt -o default" in told


def test_nothing_is_put_after_an_equals_sign(here):
    assert "compopt -o nospace" in replies(here, "calmtune run --set see")[1]


def test_the_tab_key_in_a_real_bash(here):
    with Terminal(["bash", "--norc", "-i"], here, {**environment(here), "PS1": "> "}) as terminal:
        terminal.wait_for("> ")
        terminal.type("source ./script; echo ready")
        terminal.wait_for("\nready")
        terminal.press(b"calmtune status nig\t")
        terminal.wait_for("calmtune status nightly ")
        terminal.press(b"\x15calmtune run --set evaluation.machine=ssh:g\t")
        terminal.wait_for("evaluation.machine=ssh:gpu")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_scripts_are_printed_and_shells_can_read_them(here, shell):
    done = subprocess.run(
        ["calmtune", "completion", shell], cwd=here, env=environment(here), capture_output=True, text=True, check=True
    )
    assert "_CALMTUNE_COMPLETE" in done.stdout
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=done.stdout, text=True, check=True)
