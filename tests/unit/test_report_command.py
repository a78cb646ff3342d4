"""`calmtune report`: what it writes where, and what it prints."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from core.wizard.session import Session
from tests.rigs.finished import COVERAGE, finish

ROOT = Path(__file__).resolve().parents[2]
HELP = """\
Usage: calmtune report [OPTIONS] [SESSION]

  Write the report of SESSION: what passed, what did not and why, what it
  cost, how to repeat it.

  Without options, report.html, report.md and report.json in the session's
  folder are written anew, and the path of the first is printed. The HTML is
  one file that needs no other.

Options:
  --format [html|md|json]  Print the report in this form, or write it so to
                           --out.
  --out FILE               File to write; its suffix names the form.
  --open                   Show the report in the browser.
  --json                   Print one JSON document on stdout.
  -h, --help               Show this message and exit.
"""


@pytest.fixture
def calmtune(tmp_path):
    """A command line in a folder with one session, of which the first step is done."""
    (tmp_path / "bot").mkdir()
    (tmp_path / "bot" / "config.yml").write_text("assistant_id: the-last-lamp\n")
    session = Session.create(tmp_path / ".calmtune" / "sessions", "one")
    session.answer("session", {"assistant": str(tmp_path / "bot")})
    finish(session, "coverage", COVERAGE)
    session.close()

    def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "tui.cli", *arguments],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "80", **variables},
            stdin=subprocess.DEVNULL,
            check=False,
        )

    return run


def test_its_help(calmtune):
    done = calmtune("report", "--help")
    assert done.stdout.replace("python -m tui.cli", "calmtune") == HELP
    assert "report" in calmtune("--help").stdout


def test_three_files_in_the_session_and_the_path_of_one_on_stdout(calmtune, tmp_path):
    for arguments in (("report",), ("report", "one")):
        done = calmtune(*arguments)
        assert (done.returncode, done.stdout, done.stderr) == (0, ".calmtune/sessions/one/report.html\n", "")
    folder = tmp_path / ".calmtune" / "sessions" / "one"
    assert '<h1 dir="auto">the-last-lamp</h1>' in (folder / "report.html").read_text()
    assert (folder / "report.md").read_text().startswith("# the-last-lamp\n")
    assert json.loads((folder / "report.json").read_text())["session"] == "one"


def test_a_form_is_printed_and_nothing_else(calmtune, tmp_path):
    page = calmtune("report", "--format", "html")
    assert page.stdout.startswith("<!DOCTYPE html>")
    assert page.stdout.endswith("</html>\n")
    assert calmtune("report", "--format", "md").stdout.startswith("# the-last-lamp\n")
    for arguments in (("--json",), ("--format", "json"), ("--json", "--format", "json")):
        done = calmtune("report", *arguments)
        assert json.loads(done.stdout)["coverage"]["passed"] == 2
        assert (done.returncode, done.stderr) == (0, "")
    assert not (tmp_path / ".calmtune" / "sessions" / "one" / "report.html").exists()


def test_out_writes_one_file_of_the_form_its_name_tells(calmtune, tmp_path):
    for name, beginning in (
        ("a.html", "<!DOCTYPE"),
        ("b.md", "# the-last"),
        ("c.json", "{"),
        ("d.markdown", "# the-last"),
    ):
        done = calmtune("report", "--out", name)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", f"wrote {name}\n")
        assert (tmp_path / name).read_text().startswith(beginning)
    calmtune("report", "--out", "letter.txt", "--format", "md")
    assert (tmp_path / "letter.txt").read_text().startswith("# the-last-lamp")


def test_open_shows_the_page_in_the_browser(calmtune, tmp_path):
    opened = tmp_path / "opened"
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" >> {opened}\n')
    browser.chmod(0o755)
    assert calmtune("report", "--open", BROWSER=f"{browser} %s").returncode == 0
    assert calmtune("report", "--open", "--out", "sent.html", BROWSER=f"{browser} %s").returncode == 0
    one, other = opened.read_text().split()
    assert one == (tmp_path / ".calmtune/sessions/one/report.html").as_uri()
    assert other == (tmp_path / "sent.html").as_uri()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("two",), "is no session"),
        (("--out", "report.pdf"), "ends in .html, .md or .json"),
        (("--json", "--format", "md"), "contradict each other"),
        (("--format", "pdf"), "is not one of"),
    ],
)
def test_mistakes_are_sentences(calmtune, arguments, sentence):
    done = calmtune("report", *arguments)
    assert done.returncode == 2
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_an_export_takes_the_report_along(calmtune, tmp_path):
    calmtune("report")
    calmtune("export", "--out", "copy")
    assert {"report.html", "report.md", "report.json"} <= {path.name for path in (tmp_path / "copy").iterdir()}
