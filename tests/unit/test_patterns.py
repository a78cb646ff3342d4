"""Which version's conversation repair a suite runs with: found, or chosen by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner
from rigs.conversations import DOMAIN, FLOWS

from core.assistant.project import load_assistant
from core.e2e.patterns import choose_patterns
from core.e2e.reader import read_tests
from core.evaluation.review import workbench
from core.wizard.session import Session
from tui.cli import cli

PARCELS = Path(__file__).resolve().parents[1] / "assistants" / "parcels"


@pytest.mark.parametrize(
    ("patterns", "notice", "asks"),
    [
        ("auto", "3.15 and later: nothing speaks for an older version", True),
        ("3.14", "3.14: chosen by hand", False),
        ("3.13", "3.13 and before: chosen by hand", False),
    ],
)
def test_a_choice_overrules_what_is_found(patterns, notice, asks):
    bench = workbench(PARCELS, None, patterns=patterns)
    bench.close()
    assert bench.notices[-1] == f"conversation repair as in {notice}"
    completed = bench.engine.assistant.flows["pattern_completed"]
    assert bool(list(completed.collects())) is asks


INTERRUPTED = """
test_cases:
  - test_case: opening hours while a parcel is sent
    steps:
      - user: send a parcel
      - utter: utter_ask_street
      - user: when are you open?
      - utter: utter_ask_day
      - user: on Friday
      - utter: utter_hours
      - utter: utter_ask_street
"""
SEARCH = "  pattern_search: {description: s, steps: [{link: opening_hours}]}\n"
CHITCHAT = "  pattern_chitchat: {description: c, steps: [{action: utter_hours}]}\n"
PARENT = "  all: {description: a, steps: [{call: send_parcel}, {call: opening_hours}]}\n"


@pytest.mark.parametrize(
    ("more", "patterns"),
    [
        ("", "3.13"),
        (SEARCH, "newest"),
        (CHITCHAT, "newest"),
        (PARENT, "newest"),
        (SEARCH.replace("search", "continue_interrupted"), "newest"),
    ],
)
def test_an_interrupted_question_asked_again_at_once_is_of_an_older_version(write_assistant, more, patterns):
    root = write_assistant(FLOWS + more, DOMAIN)
    (root / "e2e.yml").write_text(INTERRUPTED)
    assert choose_patterns(load_assistant(root), read_tests(root / "e2e.yml", root))[0] == patterns


def test_coverage_takes_the_choice(tmp_path):
    done = CliRunner().invoke(
        cli, ["coverage", str(PARCELS), "--patterns", "3.13", "--commands", "infer", "--out", str(tmp_path / "out")]
    )
    assert "conversation repair as in 3.13 and before: chosen by hand" in done.stderr


def test_every_step_that_runs_tests_depends_on_the_choice(tmp_path):
    session = Session.create(tmp_path / "home", "one")
    try:
        session.answer("session", {"assistant": str(PARCELS)})
        keys = {session.status("coverage").key}
        session.answer("session", {"assistant": str(PARCELS), "patterns": "3.13"})
        keys.add(session.status("coverage").key)
    finally:
        session.close()
    assert len(keys) == 2
    from core.wizard.recipe import step

    for id in ("coverage", "dataset", "evaluation", "production", "connection"):
        assert "patterns" in step(id).shared
