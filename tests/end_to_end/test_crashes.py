"""`kill -9` right after every write of the journal: the session goes on, repeats no finished step, launches no job twice."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def play(home: Path, log: Path, crash_after: int = 0) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "CALMTUNE_CRASH_AFTER_WRITES": str(crash_after)}
    command = [sys.executable, "-m", "tests.fake_recipe", str(home), str(log)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=ROOT, check=False)


def test_a_kill_after_any_write_loses_nothing(tmp_path):
    (tmp_path / "whole").mkdir()
    whole = play(tmp_path / "whole" / "home", tmp_path / "whole" / "log")
    assert whole.returncode == 0, whole.stderr
    verdict = [line.split()[:2] for line in whole.stdout.splitlines()]
    crash = 0
    while True:
        crash += 1
        folder = tmp_path / str(crash)
        folder.mkdir()
        killed = play(folder / "home", folder / "log", crash)
        if killed.returncode == 0:
            break
        assert killed.returncode == -9, killed.stderr
        resumed = play(folder / "home", folder / "log")
        assert resumed.returncode == 0, resumed.stderr
        assert [line.split()[:2] for line in resumed.stdout.splitlines()] == verdict
        lines = Counter((folder / "log").read_text().splitlines())
        jobs = {line: count for line, count in lines.items() if line.startswith("job ")}
        assert set(jobs.values()) == {1}, f"after write {crash} a job ran twice: {jobs}"
        assert sum(lines.values()) - sum(jobs.values()) <= 8, "at most the step that was under way is repeated"
    assert crash > 30, "every step writes several times"
