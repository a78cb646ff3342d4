"""Secrets are planted wherever one may come from, everything is done that may leak them, and everything that was left is searched."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from end_to_end.test_dataset_step import bench, model  # noqa: F401 fixtures
from rigs.chat_server import ChatServer, Fault

from core.wizard.session import Session
from tui.app import CalmtuneApp
from tui.screens.walk import WalkScreen

SECRETS = {
    name: f"sk-canary-{number:02}-{name.lower().replace('_', '-')}"
    for number, name in enumerate(
        (
            "PARCEL_KEY", "OPENAI_API_KEY", "HF_TOKEN", "HOSTED_VLLM_API_KEY", "RASA_LICENSE", "AWS_SECRET_ACCESS_KEY", "VLLM_API_KEY",
            "SOME_PASSWORD",
        )
    )
}  # fmt: skip


class Watch:
    """Reads the arguments of every process, again and again."""

    def __init__(self) -> None:
        self.seen: set[bytes] = set()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._done.wait(0.05):
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    self.seen.add(path.read_bytes())
                except OSError:
                    continue


def leaks(text: bytes) -> list[str]:
    return [name for name, value in SECRETS.items() if value.encode() in text]


@pytest.fixture
def environment(bench, model, tmp_path, monkeypatch):  # noqa: F811
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    return {**os.environ, "CALMTUNE_HOME": str(tmp_path / "home")}


async def test_no_secret_in_files_output_tracebacks_processes_or_pictures(bench, model: ChatServer, environment, tmp_path):  # noqa: F811
    home = tmp_path / "home" / "sessions"
    session = Session.create(home, "one")
    session.answer("session", {"assistant": str(bench.shared.assistant), "commands": "llm"})
    session.answer("coverage", {"total_min": 0, "per_flow_min": 0, "min_command_samples": 0})
    session.answer("dataset", {"num_rephrases": 2, "golden_fraction": 0})
    session.close()
    run = ("run", "--session", "one", "--until")
    outputs = []

    def calmtune(*arguments: str) -> int:
        done = subprocess.run([sys.executable, "-m", "tui.cli", *arguments], capture_output=True, env=environment, check=False)
        outputs.append(done.stdout + done.stderr)
        return done.returncode

    echo = Fault(401, raw=b'{"error": {"message": "Incorrect API key provided: ' + SECRETS["PARCEL_KEY"].encode() + b'"}}')
    crash = Fault(500, raw=b"internal error, the request had the header Authorization: Bearer " + SECRETS["PARCEL_KEY"].encode())
    with Watch() as watch:
        model.fail_with([echo] * 20)
        assert calmtune(*run, "coverage") == 3
        assert b"Incorrect API key" in outputs[-1], "what the provider says is told"
        model.fail_with([echo] * 20)
        assert calmtune("--debug", *run, "coverage") != 0
        assert b"Traceback" in outputs[-1]
        model.fail_with([crash] * 3)
        assert calmtune(*run, "coverage") == 0
        assert calmtune(*run, "dataset", "--json") == 0
        assert calmtune("doctor") == 0
        assert calmtune("report", "one") == 0
        app = CalmtuneApp(home, "one")
        async with app.run_test(size=(120, 36)) as pilot:
            while not isinstance(app.screen, WalkScreen):
                await pilot.pause(0.05)
            outputs.append(app.export_screenshot().encode())
    assert {authorization for _, authorization in model.requests} == {f"Bearer {SECRETS['PARCEL_KEY']}"}, "the key was really used"
    assert len(watch.seen) > 10
    for text in (*outputs, *watch.seen):
        assert leaks(text) == [], text.decode(errors="replace")
    for path in tmp_path.rglob("*"):
        if path.is_file():
            assert leaks(path.read_bytes()) == [], path
