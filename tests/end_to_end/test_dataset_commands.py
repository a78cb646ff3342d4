"""`calmtune dataset` on a session that was prepared: rows are looked at, decided about and made again."""

from __future__ import annotations

import json

import pytest
from rigs.prepared import Prepared

from core.errors import UsageError


@pytest.fixture
def calmtune(write_assistant, tmp_path, monkeypatch):
    """Runs the command line in a folder where session `s` has its rows."""
    monkeypatch.setenv("CALMTUNE_HOME", str(tmp_path / "home"))
    return Prepared(write_assistant, tmp_path)


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
    assert "  prompt:" in text
    listed = calmtune("dataset", "show", "s").stdout
    assert "  > USER: all wet   (of: it was wet)" in listed
    assert "  prompt:" not in listed  # some hundred lines a row
    assert rows(calmtune, "--rejected")["are you open"]["reason"] == "loses the value Friday"
    assert set(rows(calmtune, "--test", "hours")) == {"are you open on Friday", "open on Friday?", "Friday hours"}


def test_where_nothing_fits_that_is_said(calmtune):
    none = calmtune("dataset", "show", "s", "--test", "zebra")
    assert (none.stdout, none.stderr) == ("", "no row of a test with 'zebra' in its name\n")
    assert calmtune("dataset", "show", "s", "--rejected", "--test", "zebra").stderr.startswith("no rejected wording of a test")
    assert rows(calmtune, "--test", "zebra") == {}


def test_a_row_says_where_it_went_and_what_it_teaches(calmtune):
    row = rows(calmtune)["all wet"]
    assert row["side"] in ("train", "validation", "left out")
    assert row["variant"] == 1
    assert row["holds"] == ["command set slot", "slot reason"]
    assert rows(calmtune, "--rejected")["are you open"]["side"] == ""


def test_what_was_decided_is_taken_back(calmtune):
    shown = rows(calmtune)
    number = str(shown["Friday hours"]["number"])
    said = calmtune("dataset", "reject", number, "--session", "s")
    assert "1 decision, not yet applied. Running again takes out 1 row" in said.stderr
    assert "the rows show every decision" in calmtune("dataset", "undo", number, "--session", "s").stderr
    statuses = json.loads(calmtune("status", "s", "--json").stdout)["steps"]
    assert next(step["state"] for step in statuses if step["step"] == "dataset") != "stale"
    assert "nothing was decided about row" in str(calmtune("dataset", "undo", number, "--session", "s").exception)


def test_a_wording_accepted_by_hand_counts_beyond_the_limit_of_answers(calmtune):
    calmtune.prepare("dataset.answer_rephrases=1")
    assert "it came wet" not in rows(calmtune)
    number = str(rows(calmtune, "--rejected")["it was soggy"]["number"])
    assert calmtune("dataset", "accept", number, "--session", "s").exit_code == 0
    calmtune.prepare("dataset.answer_rephrases=1")
    assert {"all wet", "it was soggy"} <= rows(calmtune).keys()
    assert "it came wet" not in rows(calmtune)


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
        (("reject", "r1"), "row r1 is rejected already"),
        (("edit", "2", "Friday hours"), "row 3 has this wording already"),
        (("edit", "2", "   "), "needs words"),
        (("edit", "1", "another"), "row 1 is the message of the test .* edit it there"),
        (("show", "--row", "r9"), "there is no row r9"),
    ],
)
def test_what_cannot_be_decided_is_said(calmtune, arguments, message):
    result = calmtune("dataset", *arguments)
    assert isinstance(result.exception, UsageError)
    with pytest.raises(UsageError, match=message):
        raise result.exception
