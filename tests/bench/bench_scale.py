"""Cost of large suites: `python tests/bench/bench_scale.py [quick]`.

Each row is a project measured in a process of its own: seconds of processor time of each part of a coverage review, and peak memory.
Tests of five turns; commands recorded, or (last rows) inferred. Twice the tests or the flows should cost twice as much, not more.
"""

from __future__ import annotations

import asyncio
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[2]), str(Path(__file__).resolve().parents[1])]

from rigs.generated import write_project  # noqa: E402

TURNS = 5
RECORDED = [(50, 500), (50, 1000), (50, 2000), (50, 4000), (10, 2000), (250, 2000), (1000, 2000), (10_000, 100)]
"""(flows, tests) played with recorded commands."""
INFERRED = [(50, 100), (50, 200), (50, 400), (10, 200), (250, 200)]
"""(flows, tests) whose commands are inferred."""
PARTS = ("load", "tests", "recording", "run", "measure", "write")


def main(quick: bool) -> None:
    print(f"{'flows':>6} {'tests':>6} {'commands':>9} {'total':>7} " + " ".join(f"{part:>9}" for part in PARTS), end="")
    print(f" {'turns/s':>8} {'MB':>5}")
    for source, suites in (("recorded", RECORDED), ("inferred", INFERRED)):
        for flows, tests in suites[: 1 if quick else None]:
            with tempfile.TemporaryDirectory() as folder:
                write_project(Path(folder), flows, tests)
                child = [sys.executable, __file__, "measure", folder, source]
                found = json.loads(subprocess.run(child, check=True, capture_output=True, text=True).stdout)
            seconds, megabytes = found["seconds"], found["megabytes"]
            asked_for = sum(spent for part, spent in seconds.items() if part != "write")
            row = f"{flows:>6} {tests:>6} {source:>9} {asked_for:>7.2f} "
            row += " ".join(f"{seconds.get(part, 0.0):>9.2f}" for part in PARTS)
            print(
                f"{row} {TURNS * tests / seconds['run']:>8,.0f} {megabytes:>5.0f}   {found['passed']} passed",
                flush=True,
            )
    print("total: without write, which is what the command line adds by writing its artefacts to a folder")


def measure(folder: Path, source: str) -> None:
    """Print one measurement as JSON: what `calmtune coverage` does, part by part."""
    seconds: dict[str, float] = {}

    @contextmanager
    def part(name: str) -> Iterator[None]:
        began = time.process_time()
        yield
        seconds[name] = time.process_time() - began

    with part("load"):
        from core.assistant.project import load_assistant
        from core.dialogue.engine import Engine
        from core.e2e.coverage import histogram
        from core.e2e.coverage import measure as coverage
        from core.e2e.output import results_yaml, suite_as_yaml
        from core.e2e.reader import find_tests, read_tests
        from core.e2e.recording import read_recording, write_recording
        from core.e2e.runner import run_tests

        assistant = load_assistant(folder)
        engine = Engine(assistant, None, require_actions=False)
    with part("tests"):
        suite = read_tests(find_tests(folder), folder)
    if source == "recorded":
        with part("recording"):
            recording = read_recording(folder / "commands.yml")
        with part("run"):
            results = asyncio.run(run_tests(engine, suite.cases, recording.source_for))
    else:
        from core.evaluation.review import infer_and_run

        with part("run"):
            results = [asyncio.run(infer_and_run(engine, case, None)) for case in suite.cases]
    with part("measure"):
        coverage(assistant, results)
        histogram(results)
    megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    with part("write"):
        suite_as_yaml(suite, {result.case.id for result in results})
        results_yaml(results)
        write_recording(results, folder / "written.yml", "v2")
    passed = sum(result.passed for result in results)
    print(json.dumps({"seconds": seconds, "megabytes": megabytes, "passed": passed}))


if __name__ == "__main__":
    if sys.argv[1:2] == ["measure"]:
        measure(Path(sys.argv[2]), sys.argv[3])
    else:
        main(sys.argv[1:] == ["quick"])
