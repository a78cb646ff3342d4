"""The `rasa` command as the engine, against a STAND-IN: no real rasa-pro was ever run by these tests or their writers.

The stand-in (tests/rigs/rasa_stand_in.py) reads options and writes files as public documentation of 3.10 and about 3.16 describes them.
Verified against it: options and variables passed, files read in both shapes, failures told, cancellation, secrets kept.
Not verified, for want of a licence: that a real `rasa` prints its help, names its files and spells its variables as documented; what
`difference` looks like for every kind of check; whether it takes tests divided over files as we write them; how long anything takes.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import time
from pathlib import Path

import pytest
from rigs import rasa_bench
from rigs.rasa_bench import CANARY, Bench
from rigs.rasa_stand_in import ASSERTIONS_FLAG, RECIPE_FLAG, STUBS_FLAG

from core.e2e.rasa import Rasa
from core.errors import DeadlineError, StepFailed, UsageError
from core.wizard.events import Notice

VERSIONS = ("3.10", "3.16")


@pytest.fixture
def bench(tmp_path, monkeypatch) -> Bench:
    return rasa_bench.make(tmp_path, monkeypatch)


# Choosing


async def test_auto_takes_our_own_runtime_where_there_is_no_command(bench, monkeypatch):
    monkeypatch.setenv("PATH", str(bench.bin))
    outputs = await bench.review("auto")
    assert outputs.summary["commands_from"] == "infer"
    assert "calmtune's own runtime, since there is no `rasa` command on PATH" in bench.said(Notice)


async def test_auto_does_not_start_the_command_without_a_licence(bench, monkeypatch):
    bench.install(prints_licence=True)
    monkeypatch.delenv("RASA_LICENSE")
    assert (await bench.review("auto")).summary["commands_from"] == "infer"
    assert "since RASA_LICENSE is not set" in bench.said(Notice)


async def test_auto_takes_the_command_where_it_works_unless_commands_are_ours(bench):
    bench.install()
    assert (await bench.review("auto")).summary["commands_from"] == "rasa"
    assert "engine: the rasa command, version 3.16" in bench.said(Notice)
    assert (await bench.review("auto", commands="infer")).summary["commands_from"] == "infer"


async def test_auto_tells_why_a_broken_command_is_not_taken(bench):
    bench.install()
    (bench.bin / "rasa").write_text("#!/bin/sh\necho no module named rasa\nexit 3\n")
    assert (await bench.review("auto")).summary["commands_from"] == "infer"
    assert "`rasa --version` does not work (exit code 3): no module named rasa" in bench.said(Notice)


async def test_what_was_asked_for_and_cannot_be_is_an_error(bench, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setenv("PATH", str(bench.bin))
        with pytest.raises(UsageError, match=r"no `rasa` command on PATH.*answer engine: own"):
            await bench.review()
    bench.install()
    monkeypatch.delenv("RASA_LICENSE")
    with pytest.raises(UsageError, match="RASA_LICENSE is not set"):
        await bench.review()


async def test_the_older_name_of_the_licence_counts(bench, monkeypatch):
    bench.install()
    monkeypatch.delenv("RASA_LICENSE")
    monkeypatch.setenv("RASA_PRO_LICENSE", CANARY)
    assert (await bench.review()).summary["passed"]


# Coverage


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_review_reads_each_versions_files(bench, version):
    bench.install(version, failing=["opening hours on Friday", "a parcel for cash"])
    outputs = await bench.review()
    summary = outputs.summary
    assert len(summary["passed"]) == 10
    friday, cash = sorted(summary["failed"], key=lambda entry: entry["test"], reverse=True)
    assert friday["test"] == "e2e_tests/parcels.yml::opening hours on Friday"
    assert "expected utter: utter_expected, but rasa got bot: something else" in friday["reason"]
    assert "the output of `rasa test e2e` says which check did not hold" in cash["reason"]
    flows = {flow["flow"]: flow for flow in summary["flows"]}
    assert (flows["send_parcel"]["steps"], flows["send_parcel"]["missing"]) == (8, 2)
    assert flows["send_parcel"]["lines"] == [[16, 18], [24, 26]]
    assert flows["tidy"]["coverage"] == 0, "the table does not name it"
    assert "pattern_completed" not in flows
    assert summary["commands"]["start flow"] >= 7, "inferred from the tests"
    assert [gate.name for gate in outputs.gates] == [
        "total coverage",
        "coverage of every flow",
        "every command represented",
    ]
    folder = bench.upstream["coverage"].folder
    assert all((folder / path).exists() for path in outputs.files.values())
    reports = json.loads((folder / "failures.json").read_text())
    assert "+ utter: utter_expected" in reports[friday["test"]]
    (run,) = [call for call in bench.calls if call["arguments"][0] == "test"]
    assert {RECIPE_FLAG["3.10"], RECIPE_FLAG["3.16"], STUBS_FLAG} <= run["variables"].keys()
    assert run["variables"]["RASA_TELEMETRY_ENABLED"] == "false"
    assert (ASSERTIONS_FLAG in run["variables"]) == (version == "3.10")


async def test_the_owners_folder_is_left_as_it_was(bench):
    before = {path: path.read_bytes() for path in bench.assistant.rglob("*") if path.is_file()}
    bench.install()
    await bench.review()
    assert {path: path.read_bytes() for path in bench.assistant.rglob("*") if path.is_file()} == before


async def test_results_of_another_day_are_not_taken_for_new_ones(bench):
    (bench.assistant / "tests").mkdir()
    (bench.assistant / "tests" / "e2e_results_failed.yml").write_text(
        "test_results:\n- {name: which one, pass_status: false}\n"
    )
    bench.install()
    outputs = await bench.review(tests=str(bench.assistant / "e2e_tests"))
    assert outputs.summary["failed"] == []


async def test_files_in_other_places_are_named_to_the_command(bench):
    (bench.assistant / "domain").mkdir()
    (bench.assistant / "domain.yml").rename(bench.assistant / "domain" / "all.yml")
    (bench.assistant / "endpoints.yml").rename(bench.assistant / "endpoints.yaml")
    bench.install()
    await bench.review()
    train, test = bench.calls
    assert train["arguments"] == ["train", "--domain", "domain", "--endpoints", "endpoints.yaml"]
    assert test["arguments"][3:5] == ["--endpoints", "endpoints.yaml"], "it lists no other"


async def test_tests_of_the_same_name_are_told_apart(bench):
    tests = bench.assistant / "e2e_tests"
    shutil.copy(tests / "parcels.yml", tests / "again.yml")
    bench.install(failing=["which one (e2e_tests/again.yml)"])
    outputs = await bench.review()
    assert [entry["test"] for entry in outputs.summary["failed"]] == ["e2e_tests/again.yml::which one"]
    assert len(outputs.summary["passed"]) == 23


async def test_what_belongs_to_the_tests_of_a_folder_goes_with_them(bench):
    """The judge's model is named in conftest files, which count in their folder and below."""
    tests = bench.assistant / "e2e_tests"
    (tests / "more").mkdir()
    (tests / "parcels.yml").rename(tests / "more" / "parcels.yml")
    (tests / "conftest.yml").write_text("llm_judge: {llm: {provider: openai, model: outer}}\n")
    (tests / "more" / "conftest.yml").write_text("llm_judge: {llm: {provider: openai, model: inner}}\n")
    bench.install()
    await bench.review()
    given = bench.upstream["coverage"].folder / "assistant" / "calmtune_tests" / "e2e_tests"
    assert "outer" in (given / "conftest.yml").read_text()
    assert "inner" in (given / "more" / "conftest.yml").read_text()
    assert (given / "more" / "parcels.yml").is_file()


async def test_output_is_told_line_by_line_while_it_runs(bench):
    bench.install()
    await bench.review()
    lines = bench.said().splitlines()
    assert "INFO  running train" in lines, "without colours"
    assert lines.index("$ rasa train") < lines.index("INFO  running train") < lines.index("=== 0 failed, 12 passed ===")


@pytest.mark.parametrize(("step", "sentence"), [("train", "`rasa train`"), ("test e2e", "`rasa test e2e`")])
async def test_a_crash_is_told_with_its_last_line(bench, step, sentence):
    bench.install(crash=step)
    with pytest.raises(
        StepFailed, match=f"{sentence} ended with exit code 1.*RasaException: the action server is not there"
    ):
        await bench.review()


async def test_a_version_without_a_sub_command_is_named(bench):
    bench.install("3.16")
    script = bench.bin / "rasa"
    without = "import rasa_stand_in\nif 'e2e' in sys.argv: sys.exit('no e2e')\n"
    script.write_text(script.read_text().replace("import rasa_stand_in\n", without))
    with pytest.raises(StepFailed, match=r"`rasa test e2e --help` ended .* does rasa 3\.16 have it\? .* said: no e2e"):
        await bench.review()


# Time and cancellation


def gone(pid: int) -> bool:
    """True when a process has ended, be it that nobody has asked for its exit code yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


async def pids_of(bench: Bench) -> list[int]:
    for _ in range(1500):
        path = bench.bin / "pids"
        if path.exists() and len(path.read_text().split()) == 2:
            break
        await asyncio.sleep(0.02)
    return [int(text) for text in path.read_text().split()]


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes in /proc")
async def test_cancelling_ends_the_whole_process_group(bench, monkeypatch):
    monkeypatch.setenv("CALMTUNE_GRACE_SECONDS", "0.2")
    bench.install(hang="test e2e")
    running = asyncio.create_task(bench.review())
    pids = await pids_of(bench)
    assert not any(map(gone, pids))
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running
    deadline = time.monotonic() + 10
    while not all(map(gone, pids)):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


async def test_a_run_that_takes_too_long_is_ended(bench, monkeypatch):
    monkeypatch.setenv("CALMTUNE_GRACE_SECONDS", "0.2")
    bench.install(hang="train")
    rasa = await Rasa.find(lambda line: None, limit_seconds=1.0)
    with pytest.raises(DeadlineError, match="`rasa train` was ended after its limit"):
        await rasa.run(["train"], [], bench.assistant)
    with pytest.raises(ProcessLookupError):
        os.kill((await pids_of(bench))[0], signal.SIG_DFL)


# Secrets


async def test_the_licence_is_in_no_file_and_no_event(bench):
    bench.install(prints_licence=True, failing=["opening hours on Friday"])
    outputs = await bench.review()
    await bench.prepare(num_rephrases=1)
    assert "licence [RASA_LICENSE] is valid" in bench.said()
    assert CANARY not in repr(bench.events) + repr(outputs)
    files = [path for path in bench.folder.rglob("*") if path.is_file()]
    assert files
    assert [path for path in files if CANARY.encode() in path.read_bytes()] == []
    bench.install(prints_licence=True, crash="test e2e")
    with pytest.raises(StepFailed) as raised:
        await bench.review()
    assert CANARY not in str(raised.value)
