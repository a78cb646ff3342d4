"""A session `s` with prepared rows, some wordings of which were rejected."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path

from click.testing import CliRunner, Result
from rigs.parcels import DOMAIN, FLOWS

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
  variants: [all wet, it came wet, it was soggy]
"""
_SETTINGS = ("coverage.total_min=0", "coverage.per_flow_min=0", "coverage.min_command_samples=0")


class Prepared:
    """Runs the command line in a folder where session `s` has its rows."""

    def __init__(self, write_assistant: Callable[..., Path], folder: Path) -> None:
        """Needs CALMTUNE_HOME to be `folder / "home"`."""
        self.root = write_assistant(FLOWS, DOMAIN)
        (self.root / "e2e_tests").mkdir()
        (self.root / "e2e_tests" / "all.yml").write_text(textwrap.dedent(TESTS))
        self.home, self._wordings = folder / "home" / "sessions", folder / "own.yml"
        self._wordings.write_text(WORDINGS)
        self.prepare()

    def __call__(self, *arguments: str) -> Result:
        return CliRunner().invoke(cli, arguments, catch_exceptions=True)

    def prepare(self, *settings: str) -> Result:
        """Make the rows, again where they are stale."""
        given = (*_SETTINGS, f"dataset.rephraser={self._wordings}", *settings)
        return self("prepare", str(self.root), "--session", "s", *(part for one in given for part in ("--set", one)))
