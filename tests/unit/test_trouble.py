"""What an owner meets outside the assistant: full disks, taken ports, hubs that are away. Each is a sentence, and nothing is lost."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from core.errors import StepFailed
from core.serving.server import plan_server

ROOT = Path(__file__).resolve().parents[2]
PARCELS = ROOT / "tests" / "assistants" / "parcels"


def run(*command: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **variables}
    return subprocess.run(
        [sys.executable, *command], cwd=cwd, capture_output=True, text=True, env=environment, check=False
    )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_no_space_left_while_results_are_written(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "passed.yml").symlink_to("/dev/full")
    done = run("-m", "tui.cli", "coverage", str(PARCELS), "--out", str(out), cwd=tmp_path)
    assert done.returncode == 1
    assert "No space left on device" in done.stderr
    assert "Traceback" not in done.stderr


_LIMITED = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))
sys.argv = ["calmtune", *sys.argv[1:]]
from tui.cli import main
main()
"""


@pytest.mark.parametrize("limit", [4096, 16_000, 40_000, 60_000])
def test_a_session_that_cannot_be_written_further_goes_on_once_it_can(tmp_path, limit):
    """A limit on the size of files stands in for a full disk: writes fail in the middle, at different places."""
    arguments = ["run", "--session", "one", "--until", "coverage", "--set", f"assistant={PARCELS}"]
    full = run("-c", _LIMITED.format(limit=limit), *arguments, cwd=tmp_path)
    assert full.returncode != 0
    assert "Traceback" not in full.stderr
    assert "a mistake in calmtune" not in full.stderr, full.stderr
    again = run("-m", "tui.cli", *arguments, cwd=tmp_path)
    assert again.returncode == 0, again.stderr


def test_a_port_in_use_is_named(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(StepFailed, match=f"port {port} is in use"):
            plan_server(tmp_path, "tuned", "transformers", port)


def test_a_hub_that_cannot_be_reached_is_a_sentence_with_a_way_out(tmp_path):
    program = str(ROOT / "core" / "training" / "base_model.py")
    away = {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path / "hub"), "HF_HUB_DISABLE_TELEMETRY": "1"}
    done = run(program, "someone/some-model", str(tmp_path / "cache"), cwd=tmp_path, **away)
    assert done.returncode == 1
    assert "the hub cannot be reached for someone/some-model; download it elsewhere" in done.stderr
    assert "Traceback" not in done.stderr
