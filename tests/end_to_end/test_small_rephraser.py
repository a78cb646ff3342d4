"""The sample assistant with a real small model in the place of its paraphrase file: preparation ends, and its report is honest."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from core import demo

MODELS = Path.home() / ".cache" / "calmtune" / "models"
BASE_MODEL = next(iter(sorted(MODELS.glob("*SmolLM2-135M-Instruct"))), None)


@pytest.fixture
def served() -> Iterator[dict[str, str]]:
    """`calmtune serve` with the sample's base model, as a process."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "tui.cli", "serve", str(BASE_MODEL), "--name", "small", "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        try:
            assert process.stdout is not None
            told = ""
            while not told.rstrip().endswith("}"):
                line = process.stdout.readline()
                assert line, "the server ended before it served"
                told += line
            yield json.loads(told)
        finally:
            process.send_signal(signal.SIGINT)


@pytest.mark.slow
@pytest.mark.skipif(
    BASE_MODEL is None, reason="the sample's base model is not on this machine; `calmtune demo` fetches it"
)
def test_a_real_small_model_rephrases_the_sample(served, tmp_path):
    root = demo.copy_to(tmp_path / "sample")
    tests = root / "e2e_tests"
    for file in tests.glob("*.yml"):
        if file.name != "interruptions.yml":
            file.unlink()
    answers = {
        "assistant": str(root),
        "commands": str(root.parent / "commands.yml"),
        "coverage": {"total_min": 0, "per_flow_min": 0, "min_command_samples": 0},
        "dataset": {
            "rephraser": "llm",
            "rephrase_model": served["model"],
            "rephrase_address": served["endpoint"],
            "num_rephrases": 2,
            "history_turns": 0,
            "concurrency": 1,
        },
    }
    (tmp_path / "answers.yml").write_text(yaml.safe_dump(answers))
    command = [
        sys.executable,
        "-m",
        "tui.cli",
        "run",
        "--answers",
        str(tmp_path / "answers.yml"),
        "--until",
        "dataset",
        "--json",
    ]
    environment = {name: value for name, value in os.environ.items() if name != "OPENAI_API_KEY"}
    home = {**environment, "CALMTUNE_HOME": str(tmp_path / "home")}
    done = subprocess.run(command, capture_output=True, text=True, env=home, cwd=Path(__file__).parents[2])
    assert done.returncode in (0, 5), done.stderr
    step = next(step for step in json.loads(done.stdout.splitlines()[-1])["steps"] if step["step"] == "dataset")
    facts = step["summary"]["rephrasing"]
    print(json.dumps(facts, indent=2))
    written = next((Path(step["folder"]) / "2_rephrasings").rglob("*.yml")).read_text()
    kept, rejected = (
        sum(len(turn.get(name, ())) for one in yaml.safe_load(written)["conversations"] for turn in one["steps"])
        for name in ("passing_rephrasings", "failed_rephrasings")
    )
    assert (facts["passing"], facts["failed"], facts["candidates"]) == (kept, rejected, kept + rejected)
    set_aside = len(step["summary"]["golden_test_ids"])
    assert facts["llm_calls"] == step["summary"]["command_annotation"]["passing"] - set_aside
    assert sum(facts["rejected_share"].values()) == pytest.approx(rejected / max(1, kept + rejected), abs=0.01)
    if not kept:
        assert re.search(r"no other wording can be used: \d+ were given", done.stderr)
