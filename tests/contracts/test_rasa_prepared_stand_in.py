"""Data prepared and models judged by the `rasa` command, against a STAND-IN: no real rasa-pro was ever run by these tests.

What that leaves open is said in test_rasa_stand_in.py; here above all: the names of keys in the command's own annotations and the
places of its files, which follow the public documentation of 3.10 and about 3.16.
"""

from __future__ import annotations

import contextlib
import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rigs import rasa_bench
from rigs.finished import manifest
from rigs.rasa_bench import Bench

from core.e2e.recording import read_recording
from core.errors import ProblemsError, StepFailed, UsageError
from core.llm.client import Endpoint
from core.wizard.events import Notice
from core.wizard.shared import SharedAnswers
from core.wizard.step import Context, Outputs, Upstream
from core.wizard.steps.dataset import STEP as DATASET
from core.wizard.steps.dataset import DatasetAnswers
from core.wizard.steps.evaluation import EvaluationAnswers
from core.wizard.work import evaluation, judging

VERSIONS = ("3.10", "3.16")


@pytest.fixture
def bench(tmp_path, monkeypatch) -> Bench:
    return rasa_bench.make(tmp_path, monkeypatch)


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
    provenance = [
        json.loads(line) for line in (folder / "3_llm_finetune_data/llm_ft_data.jsonl").read_text().splitlines()
    ]
    reworded = next(row for row in provenance if row["rephrased_user_utterance"])
    assert reworded["rephrased_user_utterance"] == f"well, {reworded['original_user_utterance']}"
    assert len(read_recording(bench.upstream["dataset"].path("annotations")).turns) == 11
    (run,) = [call for call in bench.calls if call["arguments"][0] == "llm"]
    assert run["arguments"][3:] == [
        "calmtune_tests", "--out", "output", "--num-rephrases", "2", "--train-frac", "0.7", "--output-format", form,
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


async def test_golden_tests_are_never_shown_to_the_command(bench):
    bench.install()
    await bench.review()
    outputs = await bench.prepare(num_rephrases=1, train_fraction=0.7, golden_fraction=0.2)
    summary, folder = outputs.summary, bench.upstream["dataset"].folder
    golden = summary["golden_test_ids"]
    assert len(golden) >= 2
    assert not {*golden} & {*summary["train_test_ids"], *summary["val_test_ids"]}
    names = [id.partition("::")[2] for id in golden]
    written = "".join(path.read_text() for path in (folder / "assistant" / "calmtune_tests").rglob("*.y*ml"))
    assert written
    assert not [name for name in names if f"test_case: {name}\n" in written]
    brought = await bench.prepare("own", bring_in=folder / "rasa_output", golden_fraction=0.1)
    assert {*brought.summary["golden_test_ids"]} == {*golden}, "the tests the folder does not know are unseen"


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
    assert DATASET.estimate(bench.context("dataset", DatasetAnswers(bring_in=earlier))) == ""
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
    validation.write_text(validation.read_text() + "- {test_case: nobody knows it, steps: []}\n")
    train.write_text(train.read_text() + "- 7\n")
    rows = split / "ft_splits" / "train.jsonl"
    count = len(rows.read_text().splitlines())
    wrong = ['{"prompt": "x"}', "not json", "[1]", '{"messages": [{"role": "user", "content": "x"}]}']
    wrong.append('{"prompt": "x", "completion": "cancel flow \\ud800"}')
    rows.write_text(rows.read_text() + "\n".join(wrong))
    with pytest.raises(ProblemsError) as raised:
        await bench.prepare("own", bring_in=earlier)
    said = str(raised.value)
    assert "test 'nobody knows it' is not among the assistant's tests" in said
    assert "a test needs a name" in said
    assert f"train.jsonl:{count + 1}: the row has no completion" in said
    assert f"train.jsonl:{count + 2}: the row is not JSON" in said
    assert f"train.jsonl:{count + 3}: the row is no mapping" in said
    assert f"train.jsonl:{count + 5}: the row holds half a character" in said
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
    with pytest.raises(
        UsageError, match=r"there is no .*train\.yaml; give a folder that `rasa llm finetune prepare-data` wrote"
    ):
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

    monkeypatch.setattr(judging, "served", served)
    monkeypatch.setattr(judging, "ModelArtifact", lambda folder, *_: SimpleNamespace(folder=folder, verify=lambda: None, longest_row=0))
    (bench.folder / "manifest.json").write_text(json.dumps(manifest()))
    model = Upstream(Outputs({}, {"model": "model", "manifest": "manifest.json"}), bench.folder)
    bench.upstream["training"] = model
    context = bench.context("evaluation", EvaluationAnswers())
    outputs = await evaluation.run(context)
    assert {name: (outputs.summary[name]["tests"], outputs.summary[name]["passed"]) for name in ("validation", "training")} == {
        "validation": (len(held_out), len(held_out) - 1),
        "training": (8, 8),
    }
    assert outputs.summary["validation"]["failed"] == [held_out[0].partition("::")[2]]
    assert [gate.passed for gate in outputs.gates] == [False, True]
    (wrong,) = (context.folder / "results" / "validation_wrong_turns.jsonl").read_text().splitlines()
    assert json.loads(wrong)["test"] == held_out[0]
    trained, first, second = bench.calls[-3:]
    assert trained["arguments"][0] == "train"
    assert first["arguments"][:2] == second["arguments"][:2] == ["test", "e2e"]
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

    monkeypatch.setattr(judging, "served", served)
    monkeypatch.setattr(judging, "ModelArtifact", lambda folder, *_: SimpleNamespace(folder=folder, verify=lambda: None, longest_row=0))
    model = Upstream(Outputs({}, {"model": "model", "manifest": "manifest.json"}), bench.folder)
    bench.upstream["training"] = model
    context = bench.context("evaluation", EvaluationAnswers(), "own")
    with pytest.raises(StepFailed, match="as far as needed"):
        await evaluation.run(context)
    assert "the rows have the prompts of engine rasa" in bench.said(Notice)
