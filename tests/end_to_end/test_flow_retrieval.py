"""Flow retrieval from the rows to the connected assistant: recorded once, the same everywhere, and said where it is not."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from rigs.chat_server import ChatServer
from rigs.finished import manifest
from rigs.parcels import DOMAIN, FLOWS
from rigs.words import Words

import core.wizard.retrieval as retrieval
from core.dialogue.retrieval import OFF
from core.errors import StepFailed
from core.evaluation.review import workbench
from core.llm.client import Endpoint
from core.wizard.recipe import STEP_IDS, step
from core.wizard.retrieval import embedder_of, require_as_recorded
from core.wizard.session import Session
from core.wizard.shared import RETRIEVAL_ANSWERS
from core.wizard.step import Outputs, Upstream
from core.wizard.steps.connection import STEP as CONNECTION
from core.wizard.steps.connection import ConnectionAnswers
from core.wizard.steps.dataset import STEP as DATASET
from core.wizard.steps.dataset import DatasetAnswers
from core.wizard.steps.evaluation import STEP as EVALUATION
from core.wizard.steps.evaluation import EvaluationAnswers
from tests.end_to_end.test_dataset_step import Bench, rows, suite

CONFIG = """\
recipe: default.v1
language: en
pipeline:
- name: CompactLLMCommandGenerator
  flow_retrieval: # needs OpenAI
    active: true
    num_flows: 1
policies:
- name: FlowPolicy
"""
RECORDED = {
    "active": True,
    "num_flows": 1,
    "turns_to_embed": 1,
    "should_embed_slots": True,
    "embedding_model": "words",
    "embedding_digest": "a" * 64,
}


@pytest.fixture
def bench(write_assistant, tmp_path, monkeypatch) -> Bench:
    root = write_assistant(FLOWS, DOMAIN, config=CONFIG)
    (root / "e2e_tests").mkdir()
    (root / "e2e_tests" / "parcels.yml").write_text(suite())
    monkeypatch.setattr(retrieval, "local_embedder", lambda name: Words())
    return Bench(tmp_path, root)


async def prepared(bench: Bench, flow_retrieval: str) -> tuple[Outputs, Path]:
    bench.shared = bench.shared.model_copy(update={"flow_retrieval": flow_retrieval})
    await bench.review()
    outputs, folder = await bench.prepare(num_rephrases=0)
    bench.upstream["dataset"] = Upstream(outputs, folder)
    return outputs, folder


def flows_in(prompt: str) -> int:
    return prompt.split("\n\n")[1].count("\n- ")


async def test_it_is_recorded_with_rows_that_list_the_chosen_flows(bench):
    outputs, folder = await prepared(bench, "on")
    assert outputs.summary["flow_retrieval"] == RECORDED
    assert yaml.safe_load((folder / "params.yaml").read_text())["flow_retrieval"] == RECORDED
    shown = [flows_in(row["prompt"]) for row in rows(folder / outputs.files["train_rows"])]
    assert set(shown) == {1, 2}  # the nearest flow, and the one under way where that is another
    assert not any("flow_retrieval is active" in notice for notice in bench.notices)


async def test_it_is_off_unless_asked_for_whatever_config_says(bench):
    outputs, folder = await prepared(bench, "off")
    assert outputs.summary["flow_retrieval"] == {"active": False}
    assert yaml.safe_load((folder / "params.yaml").read_text())["flow_retrieval"] == {"active": False}
    assert {flows_in(row["prompt"]) for row in rows(folder / outputs.files["train_rows"])} == {3}
    assert any("config.yml:5: flow_retrieval is active there, but prompts list every" in text for text in bench.notices)


async def test_prompts_of_an_evaluation_must_be_those_of_the_rows(bench, monkeypatch):
    await prepared(bench, "on")

    def check() -> None:
        opened = workbench(bench.shared.assistant, None, embedder=embedder_of(bench.shared))
        require_as_recorded(opened, bench.upstream["dataset"])

    check()
    monkeypatch.setattr(retrieval, "local_embedder", lambda name: Words("b" * 64))
    with pytest.raises(StepFailed, match=r"not as it was when the rows were made \(embedding digest a+ → b+\)"):
        check()
    bench.shared = bench.shared.model_copy(update={"flow_retrieval": "off"})
    with pytest.raises(StepFailed, match=r"\(active True → False\).*Run the data preparation again"):
        check()


async def test_rows_made_before_it_was_recorded_list_every_flow(bench):
    outputs, folder = await prepared(bench, "off")
    old = replace(outputs, summary={key: outputs.summary[key] for key in outputs.summary if key != "flow_retrieval"})
    require_as_recorded(workbench(bench.shared.assistant, None), Upstream(old, folder))
    assert OFF == {"active": False}


async def test_an_evaluation_shows_the_model_prompts_like_those_of_the_rows(bench, monkeypatch):
    outputs, folder = await prepared(bench, "on")
    learnt = {row["prompt"] for file in ("train_rows", "val_rows") for row in rows(folder / outputs.files[file])}
    with ChatServer(lambda prompt: "provide info").running() as server:

        @asynccontextmanager
        async def served(*_: object) -> AsyncIterator[Endpoint]:
            yield Endpoint(server.url, "small")

        monkeypatch.setattr("core.wizard.work.judging.served", served)
        (bench.folder / "manifest.json").write_text(json.dumps(manifest()))
        model = Upstream(Outputs({}, {"model": "model", "manifest": "manifest.json"}), bench.folder)
        bench.upstream["training"] = model
        await EVALUATION.run(bench.context("evaluation", EvaluationAnswers()))
    first = {prompt for prompt in server.prompts if "No flow is active." in prompt and "AI:" not in prompt}
    assert first
    assert first <= learnt


@pytest.mark.parametrize("answer", ["off", "on"])
async def test_the_connected_assistant_retrieves_as_the_model_learnt(bench, answer):
    await prepared(bench, answer)
    with ChatServer(lambda prompt: "start flow opening_hours").running() as server:
        served = {"endpoint": server.url, "model": "small", "needs_key": False}
        bench.upstream["deployment"] = Upstream(Outputs(served), bench.folder)
        context = bench.context("connection", ConnectionAnswers())
        outputs = await CONNECTION.run(context)
    assert outputs.passed
    diff = (context.folder / "configuration.diff").read_text()
    changed = [notice for notice in bench.notices if "would make prompts others than in training" in notice]
    if answer == "off":
        assert "   flow_retrieval: # needs OpenAI\n-    active: true\n+    active: false\n     num_flows: 1\n" in diff
        assert [notice.partition(":")[0] for notice in changed] == ["config.yml"]
        assert {flows_in(prompt) for prompt in server.prompts} == {3}
    else:
        assert "+    should_embed_slots: true\n+    embeddings:\n" in diff
        assert changed == []
        assert any("words flows and messages its own way" in notice for notice in bench.notices)
        assert {flows_in(prompt) for prompt in server.prompts} <= {1, 2}


async def test_a_configuration_that_stays_different_is_refused(bench, monkeypatch):
    await prepared(bench, "off")
    monkeypatch.setattr("core.serving.connect.set_flow_retrieval", lambda *_: None)
    served = {"endpoint": "http://127.0.0.1:9/v1", "model": "small", "needs_key": False}
    bench.upstream["deployment"] = Upstream(Outputs(served), bench.folder)
    with pytest.raises(StepFailed, match=r"retrieves flows otherwise than the model learnt \(active False → True\)"):
        await CONNECTION.run(bench.context("connection", ConnectionAnswers()))


async def test_an_estimate_loads_no_model(bench, monkeypatch):
    await prepared(bench, "on")
    monkeypatch.setattr(retrieval, "local_embedder", lambda name: pytest.fail("a model was asked for"))
    assert DATASET.estimate(bench.context("dataset", DatasetAnswers())) == ""


def test_every_step_that_renders_prompts_depends_on_it(bench):
    rendering = [id for id in STEP_IDS if set(RETRIEVAL_ANSWERS) <= set(step(id).shared)]
    assert rendering == ["coverage", "dataset", "evaluation", "production", "connection"]


def test_another_answer_and_another_model_in_its_folder_change_the_key(bench, tmp_path):
    model = tmp_path / "model"
    model.mkdir()
    (model / "model.safetensors").write_bytes(b"one")
    session = Session.create(tmp_path / "sessions", "one")
    try:
        keys = set()
        for answers, weights in (({}, b"one"), ({"flow_retrieval": "on"}, b"one"), ({"flow_retrieval": "on"}, b"two")):
            (model / "model.safetensors").write_bytes(weights)
            given = {"assistant": str(bench.shared.assistant), "embedding_model": str(model), **answers}
            session.answer("session", json.loads(json.dumps(given)))
            keys.add(session.status("coverage").key)
    finally:
        session.close()
    assert len(keys) == 3
