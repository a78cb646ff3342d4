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
from types import SimpleNamespace
from typing import Any

import pytest
from rigs import rasa_stand_in
from rigs.rasa_stand_in import ASSERTIONS_FLAG, RECIPE_FLAG, STUBS_FLAG

from core.dialogue.command_text import render
from core.e2e.rasa import Rasa
from core.e2e.recording import read_recording
from core.errors import DeadlineError, ProblemsError, StepFailed, UsageError
from core.evaluation.review import workbench
from core.llm.client import Endpoint
from core.wizard.events import Log, Notice
from core.wizard.shared import SharedAnswers
from core.wizard.step import Context, Outputs, Upstream
from core.wizard.steps import evaluation
from core.wizard.steps.coverage import STEP as COVERAGE
from core.wizard.steps.coverage import CoverageAnswers
from core.wizard.steps.dataset import STEP as DATASET
from core.wizard.steps.dataset_answers import DatasetAnswers

PARCELS = Path(__file__).resolve().parents[1] / "assistants" / "parcels"
CANARY = "canary-licence-5f3a9c"
VERSIONS = ("3.10", "3.16")
TABLE = [
    ["data/flows.yml::opening_hours", 2, 0, "[]"],
    ["data/flows.yml::send_parcel", 8, 2, "[16-18, 24-26]"],
    ["data/flows.yml::pattern_completed", 1, 1, "[7-7]"],
]


class Bench:
    """An assistant, a session's folder, and a rasa on PATH."""

    def __init__(self, folder: Path, assistant: Path) -> None:
        self.folder, self.assistant, self.bin = folder / "session", assistant, folder / "bin"
        self.events: list[Any] = []
        self.upstream: dict[str, Upstream] = {}
        self.commands: dict[str, list[Any]] = {}

    def install(self, version: str = "3.16", **behaviour: Any) -> None:
        dialect: Any = "v1" if version == "3.10" else "v2"
        lines = {text: [render(command, dialect) for command in found] for text, found in self.commands.items()}
        rasa_stand_in.install(self.bin, version=version, commands=lines, coverage=TABLE, **behaviour)

    def context(self, step: str, answers: Any, engine: str = "rasa", **shared: Any) -> Context:
        folder = self.folder / "runs" / step
        folder.mkdir(parents=True, exist_ok=True)
        asked = SharedAnswers(assistant=self.assistant, engine=engine, **shared)
        return Context(answers, asked, self.upstream, folder, self.events.append, jobs=None)

    async def review(self, engine: str = "rasa", **shared: Any) -> Outputs:
        context = self.context("coverage", CoverageAnswers(), engine, **shared)
        outputs = await COVERAGE.run(context)
        self.upstream["coverage"] = Upstream(outputs, context.folder)
        return outputs

    async def prepare(self, engine: str = "rasa", **answers: Any) -> Outputs:
        context = self.context("dataset", DatasetAnswers(**answers), engine)
        outputs = await DATASET.run(context)
        self.upstream["dataset"] = Upstream(outputs, context.folder)
        return outputs

    @property
    def calls(self) -> list[dict[str, Any]]:
        return rasa_stand_in.calls(self.bin)

    def said(self, kind: type = Log) -> str:
        return "\n".join(getattr(event, "line", getattr(event, "text", "")) for event in self.events if isinstance(event, kind))


@pytest.fixture
async def bench(tmp_path, monkeypatch) -> Bench:
    assistant = tmp_path / "parcels"
    shutil.copytree(PARCELS, assistant)
    made = Bench(tmp_path, assistant)
    for name in ("RASA_PRO_LICENSE", "RASA_LICENSE"):
        monkeypatch.delenv(name, raising=False)
    await made.review("own", commands="infer")
    recording = read_recording(made.upstream["coverage"].path("recording"))
    suite = workbench(assistant, None).suite
    made.commands = {
        turn.user: list(commands)
        for case in suite.cases
        for turn, commands in zip(case.turns, recording.turns.get(case.id, ()), strict=False)
        if commands
    }
    made.upstream.clear()
    made.events.clear()
    shutil.rmtree(made.folder)
    monkeypatch.setenv("PATH", f"{made.bin}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("RASA_LICENSE", CANARY)
    return made


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
    with monkeypatch.context() as patched, pytest.raises(UsageError, match="no `rasa` command on PATH.*answer engine: own"):
        patched.setenv("PATH", str(bench.bin))
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
    assert [gate.name for gate in outputs.gates] == ["total coverage", "coverage of every flow", "every command represented"]
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


async def test_output_is_told_line_by_line_while_it_runs(bench):
    bench.install()
    await bench.review()
    lines = bench.said().splitlines()
    assert "INFO  running train" in lines, "without colours"
    assert lines.index("$ rasa train") < lines.index("INFO  running train") < lines.index("=== 0 failed, 12 passed ===")


@pytest.mark.parametrize(("step", "sentence"), [("train", "`rasa train`"), ("test e2e", "`rasa test e2e`")])
async def test_a_crash_is_told_with_its_last_line(bench, step, sentence):
    bench.install(crash=step)
    with pytest.raises(StepFailed, match=f"{sentence} ended with exit code 1.*RasaException: the action server is not there"):
        await bench.review()


async def test_a_version_without_the_recipe_is_named(bench):
    bench.install("3.16")
    script = bench.bin / "rasa"
    script.write_text(script.read_text().replace("import rasa_stand_in\n", "import rasa_stand_in\nif 'e2e' in sys.argv: sys.exit('no e2e')\n"))
    with pytest.raises(StepFailed, match=r"rasa 3\.16 has no `rasa test e2e`; the recipe needs 3\.10 or later: no e2e"):
        await bench.review()


# Time and cancellation


def gone(pid: int) -> bool:
    """True when a process has ended, be it that nobody has asked for its exit code yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


async def pids_of(bench: Bench) -> list[int]:
    path = bench.bin / "pids"
    while not (path.exists() and len(path.read_text().split()) == 2):
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


# Data preparation


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("form", ["instruction", "conversational"])
async def test_prepared_rows_become_a_dataset_like_our_own(bench, version, form):
    config = bench.assistant / "config.yml"
    if version == "3.10":
        config.write_text(config.read_text().replace("CompactLLM", "SingleStepLLM"))
    bench.install(version, failing=["which one"])
    await bench.review()
    outputs = await bench.prepare(num_rephrases=2, train_fraction=0.7, output_format=form)
    summary, folder = outputs.summary, bench.upstream["dataset"].folder
    assert (summary["split"]["train_tests"], summary["split"]["val_tests"]) == (8, 3)
    assert "e2e_tests/parcels.yml::a parcel is booked" in summary["train_test_ids"]
    assert summary["command_annotation"]["passing"] == 11
    assert summary["rephrasing"]["passing"] == summary["rephrasing"]["failed"] > 0
    assert summary["split"]["flows"]["train"]["send_parcel"] >= 5
    assert [gate.name for gate in outputs.gates] == ["every command, flow and slot in train", "no leakage"]
    assert all((folder / path).exists() for path in outputs.files.values())
    rows = [json.loads(line) for line in bench.upstream["dataset"].path("train_rows").read_text().splitlines()]
    assert {tuple(row) for row in rows} == {("prompt", "completion") if form == "instruction" else ("messages",)}
    assert len(rows) == summary["split"]["train_points"]
    provenance = [json.loads(line) for line in (folder / "3_llm_finetune_data/llm_ft_data.jsonl").read_text().splitlines()]
    reworded = next(row for row in provenance if row["rephrased_user_utterance"])
    assert reworded["rephrased_user_utterance"] == f"well, {reworded['original_user_utterance']}"
    assert len(read_recording(bench.upstream["dataset"].path("annotations")).turns) == 11
    (run,) = [call for call in bench.calls if call["arguments"][0] == "llm"]
    assert run["arguments"][3:] == [
        "calmtune_tests", "--out", str(folder / "rasa_output"), "--num-rephrases", "2", "--train-frac", "0.7", "--output-format", form,
    ]  # fmt: skip
    assert [call["arguments"][0] for call in bench.calls] == ["train", "test", "llm"], "the model is trained once"


async def test_answers_that_have_no_part_are_named_and_a_model_for_rephrasing_is_passed_on(bench):
    bench.install()
    await bench.review()
    await bench.prepare(
        typos="many", hard_cases=3, rephrase_model="openai/gpt-4o-mini", rephrase_key_variable="SOME_KEY", concurrency=2
    )
    assert "no part in rows that are made elsewhere: typos, hard cases" in bench.said(Notice)
    config = (bench.upstream["dataset"].folder / "assistant" / "rephrase_config.yml").read_text()
    assert config == "llm:\n  provider: openai\n  model: gpt-4o-mini\n  api_key: ${SOME_KEY}\n"


async def test_a_preparation_that_crashes_is_told_with_its_last_line(bench):
    bench.install()
    await bench.review()
    bench.install(crash="llm")
    with pytest.raises(StepFailed, match="prepare-data` ended with exit code 1: RasaException"):
        await bench.prepare()


# Folders made earlier


@pytest.fixture
async def earlier(bench, tmp_path) -> Path:
    """A folder of prepare-data whose tests go by their own names, as when the command was run by hand."""
    bench.install()
    await bench.review()
    await bench.prepare(num_rephrases=1, train_fraction=0.7)
    folder = tmp_path / "output"
    shutil.move(bench.upstream["dataset"].folder / "rasa_output", folder)
    shutil.rmtree(bench.upstream["dataset"].folder)
    bench.events.clear()
    (bench.bin / "rasa").unlink()
    return folder


async def test_a_folder_is_brought_in_without_the_command(bench, earlier):
    outputs = await bench.prepare("own", bring_in=earlier)
    assert outputs.summary["split"]["train_tests"] == 8
    assert outputs.summary["rephrasing"]["source"] == str(earlier)
    assert DATASET.estimate(bench.context("dataset", DatasetAnswers(bring_in=earlier))) == "no language model is asked"
    assert earlier in DATASET.reads(SharedAnswers(assistant=bench.assistant), DatasetAnswers(bring_in=earlier))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("e2e_tests/train.yaml", "e2e_tests/train.yml"),
        ("e2e_tests/validation.yaml", "e2e_tests/val.yml"),
        ("ft_splits/test.jsonl", "ft_splits/val.jsonl"),
    ],
)
async def test_each_name_of_a_file_counts(bench, earlier, old, new):
    split = earlier / "4_train_test_split"
    (split / old).rename(split / new)
    outputs = await bench.prepare("own", bring_in=earlier)
    assert outputs.summary["split"]["val_points"] > 0
    shutil.copy(split / new, split / old)
    with pytest.raises(UsageError, match="has both"):
        await bench.prepare("own", bring_in=earlier)


async def test_everything_wrong_in_a_folder_is_said_at_once(bench, earlier):
    split = earlier / "4_train_test_split"
    train, validation = split / "e2e_tests" / "train.yaml", split / "e2e_tests" / "validation.yaml"
    validation.write_text(validation.read_text() + "- {test_case: nobody knows it, steps: []}\n- {test_case: a parcel is booked, steps: []}\n")
    train.write_text(train.read_text() + "- 7\n")
    rows = split / "ft_splits" / "train.jsonl"
    count = len(rows.read_text().splitlines())
    rows.write_text(rows.read_text() + '{"prompt": "x"}\nnot json\n[1]\n{"messages": [{"role": "user", "content": "x"}]}\n')
    with pytest.raises(ProblemsError) as raised:
        await bench.prepare("own", bring_in=earlier)
    said = str(raised.value)
    assert "test 'nobody knows it' is not among the assistant's tests" in said
    assert "test e2e_tests/parcels.yml::a parcel is booked is on both sides" in said or "a test needs a name" in said
    assert f"train.jsonl:{count + 1}: the row has no completion" in said
    assert f"train.jsonl:{count + 2}: the row is not JSON" in said
    assert f"train.jsonl:{count + 3}: the row is no mapping" in said
    assert f"train.jsonl:{count + 4}: the row has other messages than one of the user and one of the assistant" in said


async def test_a_test_on_both_sides_is_refused_and_a_row_on_both_is_left_out(bench, earlier):
    split = earlier / "4_train_test_split"
    train, validation = split / "ft_splits" / "train.jsonl", split / "ft_splits" / "test.jsonl"
    validation.write_text(validation.read_text() + train.read_text().splitlines(keepends=True)[0])
    outputs = await bench.prepare("own", bring_in=earlier)
    assert outputs.summary["split"]["left_out_points"] == 1
    assert "1 validation rows are in train too" in bench.said(Notice)
    tests = split / "e2e_tests" / "validation.yaml"
    tests.write_text(tests.read_text() + "- {test_case: a parcel is booked, steps: []}\n")
    with pytest.raises(ProblemsError, match="a parcel is booked is on both sides; leave it on one"):
        await bench.prepare("own", bring_in=earlier)


async def test_what_is_no_prepared_folder_is_said(bench, earlier, tmp_path):
    with pytest.raises(UsageError, match=r"there is no .*train\.yaml; give a folder that `rasa llm finetune prepare-data` wrote"):
        await bench.prepare("own", bring_in=tmp_path / "nowhere")
    for name in ("1_command_annotations", "2_rephrasings"):
        shutil.rmtree(earlier / name)
    with pytest.raises(UsageError, match="has no conversations in 2_rephrasings or 1_command_annotations"):
        await bench.prepare("own", bring_in=earlier)


# Evaluation


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_tuned_model_is_judged_by_the_command(bench, version, monkeypatch):
    bench.install(version)
    await bench.review()
    await bench.prepare(num_rephrases=1, train_fraction=0.7)
    held_out = bench.upstream["dataset"].outputs.summary["val_test_ids"]
    bench.install(version, failing=[held_out[0].partition("::")[2]])
    key = "made-up-server-key-77"

    @contextlib.asynccontextmanager
    async def served(context: Context, request: Any) -> Any:
        yield Endpoint("http://127.0.0.1:9/v1", "tuned", api_key=key)

    monkeypatch.setattr(evaluation, "served", served)
    monkeypatch.setattr(evaluation, "ModelArtifact", lambda *_: SimpleNamespace(verify=lambda: None))
    model = Upstream(Outputs({}, {"model": "model", "manifest": "manifest.json"}), bench.folder)
    context = bench.context("evaluation", evaluation.EvaluationAnswers())
    verdicts = await evaluation.judge(context, context.answers, model, bench.upstream["dataset"])
    outputs = evaluation.outputs_of(verdicts, context)
    assert {verdict.name: (len(verdict.results), sum(verdict.passed)) for verdict, _ in verdicts} == {
        "validation": (len(held_out), len(held_out) - 1),
        "training": (8, 8),
    }
    assert outputs.summary["validation"]["failed"] == [held_out[0].partition("::")[2]]
    assert [gate.passed for gate in outputs.gates] == [False, True]
    (wrong,) = (context.folder / "results" / "validation_wrong_turns.jsonl").read_text().splitlines()
    assert json.loads(wrong)["test"] == held_out[0]
    trained, first, second = bench.calls[-3:]
    assert (trained["arguments"][0], first["arguments"][:2], second["arguments"][:2]) == ("train", ["test", "e2e"], ["test", "e2e"])
    assert "model: tuned" in trained["endpoints"]
    assert "${HOSTED_VLLM_API_KEY}" in trained["endpoints"]
    assert trained["has_model_key"]
    assert not any(key.encode() in path.read_bytes() for path in bench.folder.rglob("*") if path.is_file())
    assert "shows the model others" not in bench.said(Notice)


async def test_other_prompts_than_those_of_the_rows_are_warned_of(bench, earlier, monkeypatch):
    await bench.prepare("own", bring_in=earlier)

    @contextlib.asynccontextmanager
    async def served(context: Context, request: Any) -> Any:
        raise StepFailed("as far as needed")
        yield

    monkeypatch.setattr(evaluation, "served", served)
    monkeypatch.setattr(evaluation, "ModelArtifact", lambda *_: SimpleNamespace(verify=lambda: None))
    model = Upstream(Outputs({}, {"model": "model", "manifest": "manifest.json"}), bench.folder)
    context = bench.context("evaluation", evaluation.EvaluationAnswers(), "own")
    with pytest.raises(StepFailed, match="as far as needed"):
        await evaluation.judge(context, context.answers, model, bench.upstream["dataset"])
    assert "the rows have the prompts of engine rasa" in bench.said(Notice)
