"""A preparation of some 500 calls, killed at ten random moments: after the last start every call was paid once."""

from __future__ import annotations

import random
import re
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import yaml
from rigs.chat_server import ChatServer
from rigs.parcels import DOMAIN, FLOWS

TESTS, WORDINGS, KILLS, AT_ONCE = 25, 19, 10, 4
CALLS = TESTS + TESTS * WORDINGS
PROGRAM = Path(__file__).parents[1] / "rigs" / "prepare.py"


def suite() -> str:
    cases = [
        {
            "test_case": f"test {number}",
            "steps": [{"user": f"complaint number {number}"}, {"utter": "utter_ask_reason"}],
        }
        for number in range(TESTS)
    ]
    return yaml.safe_dump({"test_cases": cases})


def reply(prompt: str) -> str:
    if "Reword" in prompt:
        (message,) = re.findall(r"^USER: (.*)$", prompt.partition("Reword")[2], re.MULTILINE)[:-1]
        lines = (f"{at}. {'abcdefghijklmnopqrstuvwxyz'[at] * 12} {message}" for at in range(1, WORDINGS + 1))
        return f"USER: {message}\n" + "\n".join(lines)
    return "start flow complain"


def test_killed_ten_times_each_call_is_paid_once(write_assistant, tmp_path):
    root = write_assistant(FLOWS, DOMAIN)
    (root / "e2e_tests").mkdir()
    (root / "e2e_tests" / "all.yml").write_text(suite())
    chance = random.Random(7)
    moments = sorted(chance.sample(range(20, CALLS - 20), KILLS))
    reached = threading.Event()
    counted, next_moment = Counter[str](), iter(moments)
    moment = next(next_moment)

    def counting(prompt: str) -> str:
        if preparing.is_set():
            counted[prompt] += 1
            if len(counted) >= moment:
                reached.set()
        return reply(prompt)

    preparing = threading.Event()
    with ChatServer(counting).running() as server:
        config = {
            "recipe": "default.v1",
            "language": "en",
            "pipeline": [
                {
                    "name": "CompactLLMCommandGenerator",
                    "llm": {"provider": "self-hosted", "model": "big", "api_base": server.url},
                }
            ],
            "policies": [{"name": "FlowPolicy"}],
        }
        (root / "config.yml").write_text(yaml.safe_dump(config))
        command = [sys.executable, str(PROGRAM), str(root), str(tmp_path / "session"), str(WORDINGS), str(AT_ONCE)]
        subprocess.run([*command, "review"], check=True)
        preparing.set()
        for kill in range(KILLS):
            process = subprocess.Popen([*command, "prepare"])
            assert reached.wait(timeout=60), f"kill {kill} of {moments}"
            process.kill()
            assert process.wait() == -9
            moment = next(next_moment, CALLS + 1)
            reached.clear()
        subprocess.run([*command, "prepare"], check=True)
    assert len(counted) == CALLS
    again = sum(counted.values()) - CALLS
    assert again <= KILLS * AT_ONCE, "only calls in flight when the process was killed may be made twice"
    facts = yaml.safe_load((tmp_path / "session" / "runs" / "dataset" / "result_summary.yaml").read_text())
    assert facts["rephrasing"]["llm_calls"] == CALLS
    assert facts["rephrasing"]["passing"] == TESTS * WORDINGS
