"""All seven steps with the stand-in for the `rasa` command as engine (tests/rigs/rasa_stand_in.py): real training, a real model server.

No real `rasa` was ever run: what it prints and writes follows its public documentation.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from rigs import rasa_bench

ROOT = Path(__file__).resolve().parents[2]


def test_seven_steps_with_the_stand_in(tmp_path, monkeypatch):
    from tests import tiny_model

    bench = rasa_bench.make(tmp_path, monkeypatch)
    bench.install()
    with (bench.assistant / "e2e_tests" / "parcels.yml").open("a") as file:
        # Its split keeps commands in train, but not flows: the only test of one must not be held out.
        file.write("  - test_case: tidy again\n    steps: [{user: set things and tidy}, {bot: kept gone}]\n")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    model = tiny_model.make(tmp_path / "model")
    (tmp_path / "answers.yml").write_text(
        f"""
assistant: {bench.assistant}
engine: rasa
coverage: {{total_min: 0.5, per_flow_min: 0}}
dataset: {{num_rephrases: 0, train_fraction: 0.9}}
training: {{base_model: {model}, epochs: 1, dtype: float32, command_match_min: 0}}
evaluation: {{validation_min: 0, train_min: 0}}
"""
    )
    command = [sys.executable, "-m", "tui.cli", "run", "--answers", "answers.yml", "--session", "one", "--json"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    steps = {step["step"]: step for step in json.loads(done.stdout.splitlines()[-1])["steps"]}
    assert [step["state"] for step in steps.values()] == ["fresh"] * 7
    assert steps["coverage"]["summary"]["commands_from"] == "rasa"
    asked = [" ".join(call["arguments"][:3]) for call in bench.calls]
    assert [sum(words.startswith(kind) for words in asked) for kind in ("train", "test e2e", "llm finetune")] == [3, 5, 1]
    connected = tmp_path / steps["connection"]["folder"] / "assistant"
    assert not (connected / "prompts").exists(), "the model learnt the prompts of rasa itself"
    assert rasa_bench.CANARY not in done.stdout + done.stderr
    written = [path for path in (tmp_path / ".calmtune").rglob("*") if path.is_file() and not path.is_symlink()]
    assert [path for path in written if rasa_bench.CANARY.encode() in path.read_bytes()] == []
    subprocess.run([sys.executable, "-m", "tui.cli", "stop", "one"], cwd=tmp_path, capture_output=True, check=True)
