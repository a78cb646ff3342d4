"""`calmtune dataset` on a session that was prepared: rows are looked at, decided about and made again."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from rigs.parcels import DOMAIN, FLOWS

from core.errors import UsageError
from tui.cli import cli

TESTS = """
test_cases:
- test_case: hours
  steps:
  - user: are you open on Friday
  - utter: utter_hours
- test_case: complaint
  steps:
  - user: I want to complain
  - utter: utter_ask_reason
  - user: it was wet
  - slot_was_set: [{reason: wet}]
  - utter: utter_sorry
"""
WORDINGS = """
paraphrases:
- user: are you open on Friday
  variants: [open on Friday?, Friday hours, are you open]
- user: it was wet
  variants: [all wet, it came wet]
"""


@pytest.fixture
def calmtune(write_assistant, tmp_path, monkeypatch):
    """Runs the command line in a folder where session `s` has its rows."""
    root: Path = write_assistant(FLOWS, DOMAIN)
    (root / "e2e_tests").mkdir()
    (root / "e2e_tests" / "all.yml").write_text(textwrap.dedent(TESTS))
    (tmp_path / "own.yml").write_text(WORDINGS)
    monkeypatch.setenv("CALMTUNE_HOME", str(tmp_path / "home"))

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(cli, arguments, catch_exceptions=True)

    settings = ["coverage.total_min=0", "coverage.per_flow_min=0", "coverage.min_command_samples=0"]
    settings += [f"dataset.rephraser={tmp_path / 'own.yml'}"]
    given = [part for setting in settings for part in ("--set", setting)]
    run.prepare = lambda: run("prepare", str(root), "--session", "s", *given)
    run.prepare()
    return run


def rows(calmtune, *arguments: str) -> dict[str, dict[str, object]]:
    result = calmtune("dataset", "show", "s", "--json", *arguments)
    assert result.exit_code == 0, result.exception
    return {row["wording"]: row for row in json.loads(result.stdout)}


def test_rows_are_shown_with_conversation_prompt_and_commands(calmtune):
    shown = rows(calmtune)
    assert list(shown) == [
        "are you open on Friday", "open on Friday?", "Friday hours", "I want to complain", "it was wet", "all wet", "it came wet",
    ]  # fmt: skip
    row = shown["all wet"]
    assert row["conversation"] == ["USER: I want to complain", "AI: utter_ask_reason"]
    assert row["commands"] == ["set slot reason wet"]
    assert "all wet" in row["prompt"]
    text = calmtune("dataset", "show", "s", "--row", str(row["number"])).stdout
    assert "  > USER: all wet   (of: it was wet)" in text
    assert "    set slot reason wet" in text
    assert rows(calmtune, "--rejected")["are you open"]["reason"] == "loses the value Friday"
    assert set(rows(calmtune, "--test", "hours")) == {"are you open on Friday", "open on Friday?", "Friday hours"}


def test_decisions_make_the_preparation_stale_and_are_followed(calmtune):
    shown, rejected = rows(calmtune), rows(calmtune, "--rejected")
    for arguments in (
        ("reject", shown["Friday hours"]["number"]),
        ("accept", rejected["are you open"]["number"]),
        ("edit", shown["all wet"]["number"], "soaking wet"),
    ):
        result = calmtune("dataset", *map(str, arguments), "--session", "s")
        assert result.exit_code == 0, result.exception
    statuses = json.loads(calmtune("status", "s", "--json").stdout)["steps"]
    assert next(step["state"] for step in statuses if step["step"] == "dataset") == "stale"
    calmtune.prepare()
    assert set(rows(calmtune)) == {
        "are you open on Friday", "open on Friday?", "are you open", "I want to complain", "it was wet", "soaking wet", "it came wet",
    }  # fmt: skip
    assert rows(calmtune, "--rejected")["Friday hours"]["reason"] == "was rejected by hand"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("reject", "99"), "there is no row 99"),
        (("accept", "1"), "row 1 is accepted already"),
        (("edit", "1", "another"), "row 1 is the message of the test .* edit it there"),
        (("show", "--row", "r9"), "there is no row r9"),
    ],
)
def test_what_cannot_be_decided_is_said(calmtune, arguments, message):
    result = calmtune("dataset", *arguments)
    assert isinstance(result.exception, UsageError)
    with pytest.raises(UsageError, match=message):
        raise result.exception
