"""User turns a second on one core, with recorded commands: `python tests/bench/bench_engine.py`."""

from __future__ import annotations

import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from core.assistant.project import load_assistant
from core.dataset.infer import infer
from core.dialogue.engine import Engine
from core.dialogue.source import UserMessage
from core.e2e.reader import find_tests, read_tests
from core.e2e.runner import begin, engine_for

ROUNDS = 7
REPEATS = 20


def main() -> None:
    folder = Path(__file__).resolve().parents[1] / "assistants" / "parcels"
    assistant = load_assistant(folder)
    engine = Engine(assistant, None, "newest", require_actions=False)
    played = []
    began = time.perf_counter()
    for case in read_tests(find_tests(folder), folder).cases:
        own = engine_for(engine, case, None, False)
        played.append((own, case, infer(own, case).turns))
    turns = sum(len(case.turns) for _, case, _ in played)
    print(f"inference: {turns / (time.perf_counter() - began):,.0f} turns/s")
    rates = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        for _ in range(REPEATS):
            for own, case, commands in played:
                tracker, _, _ = begin(own, case)
                for turn, given in zip(case.turns, commands, strict=True):
                    own.handle(tracker, UserMessage(turn.user), own.payload_commands(turn.user) or given or ())
        rates.append(REPEATS * turns / (time.perf_counter() - began))
    print(
        f"engine: {statistics.median(rates):,.0f} turns/s (median of {ROUNDS}, {min(rates):,.0f} to {max(rates):,.0f})"
    )


if __name__ == "__main__":
    main()
