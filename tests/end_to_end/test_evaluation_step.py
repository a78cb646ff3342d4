"""Evaluation and production steps with servers that answer as a tuned and a strong model would: verdicts, comparison, repeats, grammar."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import yaml
from end_to_end.test_dataset_step import Bench, suite
from rigs.chat_server import ChatServer
from rigs.finished import manifest
from rigs.parcels import DOMAIN, FLOWS

from core.dialogue.command_text import render_all
from core.e2e.recording import read_recording
from core.errors import UsageError
from core.llm.client import Endpoint
from core.wizard.events import Notice
from core.wizard.step import Outputs, Upstream
from core.wizard.steps.evaluation import STEP, EvaluationAnswers
from core.wizard.steps.production import STEP as PRODUCTION
from core.wizard.steps.production import ProductionAnswers
from core.wizard.steps.training import TrainingAnswers
from core.wizard.work import judging, production, quantised

Reply = Callable[[str], str]


@pytest.fixture
async def bench(write_assistant, tmp_path) -> Bench:
    """A suite of nineteen tests that pass, prepared; four of them are golden."""
    root = write_assistant(FLOWS, DOMAIN)
    (root / "e2e_tests").mkdir()
    content = yaml.safe_load(suite())
    questions = ["is anybody there on Friday", "Monday, are you in?", "may I come by Friday", "do you work Monday"]
    content["test_cases"] += [
        {"test_case": f"open {at}", "steps": [{"user": text}, {"utter": "utter_hours"}]}
        for at, text in enumerate([*questions, "shop times Friday", "Monday times"])
    ]
    (root / "e2e_tests" / "parcels.yml").write_text(yaml.safe_dump(content, sort_keys=False))
    bench = Bench(tmp_path, root)
    await bench.review()
    outputs, folder = await bench.prepare(num_rephrases=0, golden_fraction=0.2, train_fraction=0.6)
    bench.upstream["dataset"] = Upstream(outputs, folder)
    (tmp_path / "manifest.json").write_text(json.dumps(manifest()))
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "loss": 0.1}\n')
    files = {"model": "model", "manifest": "manifest.json", "metrics": "metrics.jsonl"}
    bench.upstream["training"] = Upstream(Outputs({"answers": {}}, files), tmp_path)
    return bench


def messages_of(bench: Bench, side: str) -> list[str]:
    """First messages of the tests of a side."""
    content = yaml.safe_load((bench.shared.assistant / "e2e_tests/parcels.yml").read_text())
    cases = {case["test_case"]: case for case in content["test_cases"]}
    ids = bench.upstream["dataset"].outputs.summary[f"{side}_test_ids"]
    return [cases[id.partition("::")[2]]["steps"][0]["user"] for id in ids]


def knows(bench: Bench, *misses: str, says: str = "cannot handle") -> Reply:
    """A model that gives the commands of the recording, but for some messages."""
    recording = read_recording(bench.upstream["dataset"].path("annotations"))
    content = yaml.safe_load((bench.shared.assistant / "e2e_tests/parcels.yml").read_text())
    known = {}
    for case in content["test_cases"]:
        texts = [step["user"] for step in case["steps"] if "user" in step]
        turns = recording.turns.get(f"e2e_tests/parcels.yml::{case['test_case']}", ())
        known |= {text: render_all(commands, "v2") for text, commands in zip(texts, turns, strict=False) if commands}

    def reply(prompt: str) -> str:
        message = re.findall(r"^USER: (.*)\nCommands:", prompt, re.MULTILINE)[-1]
        return says if message in misses else known.get(message, "cannot handle")

    return reply


@pytest.fixture
def serve(monkeypatch) -> Iterator[Callable[[Reply], ChatServer]]:
    """serve(reply) → the server that the tuned model is served by."""
    stack = []

    def start(reply: Reply, keeps_to_grammar: bool = False) -> ChatServer:
        running = ChatServer(reply).running()
        server = running.__enter__()
        stack.append(running)

        @asynccontextmanager
        async def served(*_: object) -> AsyncIterator[Endpoint]:
            yield Endpoint(server.url, "small", keeps_to_grammar=keeps_to_grammar)

        monkeypatch.setattr(judging, "served", served)
        return server

    yield start
    for running in stack:
        running.__exit__(None, None, None)


def connect_strong(bench: Bench, server: ChatServer, monkeypatch) -> None:
    monkeypatch.setenv("PARCEL_KEY", "k")
    config = bench.shared.assistant / "config.yml"
    llm = f'{{provider: self-hosted, model: big, api_base: "{server.url}", api_key: "${{PARCEL_KEY}}"}}'
    config.write_text(f"pipeline:\n- name: CompactLLMCommandGenerator\n  llm: {llm}\npolicies:\n- name: FlowPolicy\n")


async def evaluated(bench: Bench, **answers: object) -> Outputs:
    return await STEP.run(bench.context("evaluation", EvaluationAnswers(**answers)))


async def test_a_model_that_makes_no_mistake_passes_and_the_interval_says_what_that_proves(bench, serve):
    serve(knows(bench))
    outputs = await evaluated(bench, machine_usd_per_hour=2.0)
    validation = outputs.summary["validation"]
    assert outputs.passed
    assert validation["passed"] == validation["tests"] > 2
    assert validation["verdict"] == "inconclusive", "a handful of tests prove nothing about 80 %"
    assert validation["interval"][0] < 0.8 < validation["interval"][1] == 1.0
    assert validation["more_tests"] > 0
    assert validation["turns_exactly_as_expected"] == validation["turns"]
    assert set(validation["latency"]) == {"p50", "p90", "p99"}
    assert validation["tokens"]["prompt"] > 10
    assert validation["usd_per_1000_turns"] > 0
    assert "more such tests would decide" in outputs.gates[0].detail
    assert "comparison" not in outputs.summary


async def test_what_is_merely_reached_does_not_pass_when_it_must_be_proven(bench, serve):
    serve(knows(bench))
    outputs = await evaluated(bench, accept="proven")
    assert [(gate.passed, gate.verdict) for gate in outputs.gates] == [(False, "inconclusive"), (False, "inconclusive")]
    assert "proven" in outputs.gates[0].required


async def test_failures_are_grouped_and_lead_to_what_to_do_next(bench, serve):
    missed = messages_of(bench, "val")
    serve(knows(bench, *missed, says="start flow nowhere"))
    outputs = await evaluated(bench)
    failures = outputs.summary["validation"]["failures"]
    assert not outputs.passed
    assert outputs.gates[0].verdict == "fail"
    assert failures["causes"] == {"invalid command": len(missed)}
    assert outputs.summary["validation"]["invalid_turns"] == len(missed)
    assert failures["next_step"]
    assert {case["user"] for case in failures["cases"]} == set(missed)
    assert any(failures["next_step"] in notice for notice in bench.notices)


async def test_a_model_below_the_bar_is_accepted_when_it_is_proven_as_good_as_the_strong_one(bench, serve, monkeypatch):
    missed = messages_of(bench, "val")
    serve(knows(bench, *missed))
    with ChatServer(knows(bench, *missed)).running() as strong:
        connect_strong(bench, strong, monkeypatch)
        assert "big: " in STEP.estimate(bench.context("evaluation", EvaluationAnswers(compare="llm")))
        near = await evaluated(bench, compare="llm", margin=0.05)
        asked = len(strong.prompts)
        far = await evaluated(bench, compare="llm", margin=0.5)
        assert len(strong.prompts) == asked > 0, "what was answered is paid once"
    found = near.summary["comparison"]
    assert (found["both"], found["neither"], found["p_value"]) == (0, len(missed), 1.0)
    assert found["verdict"] == "inconclusive", "as many failures are no proof within 5 points"
    assert not near.gates[0].passed
    assert far.summary["comparison"]["verdict"] == "pass"
    assert far.gates[0].passed
    assert "or at most 50 points below big" in far.gates[0].required
    assert not far.gates[1].name.startswith("validation")
    assert any(found["sentence"] in notice for notice in bench.notices)


async def test_without_a_configured_model_a_comparison_cannot_be_had(bench, serve):
    serve(knows(bench))
    with pytest.raises(UsageError, match="no language model is configured"):
        await evaluated(bench, compare="llm")
    assert STEP.estimate(bench.context("evaluation", EvaluationAnswers())) == ""


async def test_tests_that_pass_now_and_then_are_named_and_the_strong_models_shown_apart(bench, serve, monkeypatch):
    wavering, *others = messages_of(bench, "val")
    seen: Counter[str] = Counter()
    right = knows(bench)

    def now_and_then(prompt: str) -> str:
        message = re.findall(r"^USER: (.*)\nCommands:", prompt, re.MULTILINE)[-1]
        seen[message] += 1
        return "cannot handle" if message == wavering and seen[message] % 2 else right(prompt)

    serve(right)
    with ChatServer(now_and_then).running() as strong:
        connect_strong(bench, strong, monkeypatch)
        outputs = await evaluated(bench, compare="llm", repeats=3)
    (flaky,) = outputs.summary["comparison"]["flaky"]
    assert outputs.summary["strong"]["flaky"] == [flaky]
    assert outputs.summary["strong"]["pass_hat"]["1"] > outputs.summary["strong"]["pass_hat"]["3"]
    assert outputs.summary["validation"]["pass_hat"] == {"1": 1.0, "2": 1.0, "3": 1.0}
    assert outputs.summary["validation"]["without_flaky_on_strong"]["tests"] == len(others)
    assert any("1 tests do not always pass with the strong model" in notice for notice in bench.notices)


async def test_runs_of_a_test_are_asked_anew_but_the_same_prompt_of_one_run_is_not(bench, serve):
    server = serve(knows(bench))
    await evaluated(bench)
    once = Counter(server.prompts)
    server.prompts.clear()
    await evaluated(bench, repeats=2)
    assert Counter(server.prompts) == {prompt: 2 * count for prompt, count in once.items()}
    assert set(once.values()) == {1}


async def test_with_and_without_the_grammar_the_difference_is_shown(bench, serve):
    wrong, *_ = messages_of(bench, "val")
    right = knows(bench)
    free = knows(bench, wrong, says="sure thing!")
    server = serve(lambda prompt: "", keeps_to_grammar=True)
    server.reply = lambda prompt: right(prompt) if server.bodies[-1].get("structured_outputs") else free(prompt)
    outputs = await evaluated(bench, grammar="both", concurrency=1)
    found = outputs.summary["grammar"]
    assert (found["without"]["invalid_turns"], found["with"]["invalid_turns"]) == (1, 0)
    assert found["with"]["passed"] == found["without"]["passed"] + 1 == found["with"]["tests"]
    assert outputs.summary["validation"]["invalid_turns"] == 1, "the run without is the one that is judged"
    held = await evaluated(bench, grammar="on", concurrency=1)
    assert held.summary["validation"]["invalid_turns"] == 0


async def test_a_server_that_knows_no_grammar_is_told_of(bench, serve):
    serve(knows(bench))
    outputs = await evaluated(bench, grammar="both")
    assert "grammar" not in outputs.summary
    assert any("cannot hold a model to a grammar" in notice for notice in bench.notices)


# Production


@pytest.fixture
def retrained(monkeypatch) -> None:
    """A training that leaves a model without taking time."""

    async def train(context, answers, rows: Path, validation: Path | None):
        from core.training.diagnosis import Diagnosis
        from core.training.metrics import Curves

        (context.folder / "model").mkdir(exist_ok=True)
        (context.folder / "manifest.json").write_text(json.dumps(manifest()))
        (context.folder / "metrics.jsonl").write_text('{"step": 1, "loss": 0.1}\n')
        return {"train_loss": 0.1, "settings": {"epochs": 1.0}}, Diagnosis("converged", "fine"), Curves()

    monkeypatch.setattr(production, "train", train)
    monkeypatch.setattr(production.TrainingAnswers, "model_validate", lambda *_: TrainingAnswers())


async def test_the_production_model_is_judged_by_the_golden_tests(bench, serve, retrained):
    golden = messages_of(bench, "golden")
    facts = bench.upstream["dataset"].outputs.summary
    serve(knows(bench, *golden))
    bench.upstream["evaluation"] = Upstream(await evaluated(bench), bench.folder)
    assert bench.upstream["evaluation"].outputs.passed, "the golden tests have no part in step 4"
    outputs = await PRODUCTION.run(bench.context("production", ProductionAnswers()))
    assert outputs.summary["golden"]["tests"] == len(golden) >= 3
    assert outputs.summary["golden"]["passed"] == 0
    card = (bench.folder / "runs" / "production" / "model" / "README.md").read_text()
    assert "**Not good enough**: golden tests." in card
    assert f"| golden | {len(golden)} | 0 | 0.0 % |" in card
    assert outputs.summary["training"]["tests"] == len(facts["train_test_ids"]) + len(facts["val_test_ids"])
    assert {gate.name: gate.passed for gate in outputs.gates} == {
        "training loss": True,
        "course of training": True,
        "golden tests": False,
        "training tests": True,
    }


async def test_a_model_that_is_not_trained_again_has_to_pass_the_golden_tests_too(bench, serve):
    serve(knows(bench))
    bench.upstream["evaluation"] = Upstream(await evaluated(bench), bench.folder)
    (bench.folder / "model").mkdir()
    (bench.folder / "model" / "model.safetensors").write_text("weights")
    (bench.folder / "model" / "README.md").write_text("Not evaluated yet.")
    assert "**Passed** all 2 gates." in (bench.folder / "runs" / "evaluation" / "model_card.md").read_text()
    outputs = await PRODUCTION.run(bench.context("production", ProductionAnswers(retrain=False)))
    kept = bench.folder / "runs" / "production" / outputs.files["model"]
    assert (kept / "model.safetensors").samefile(bench.folder / "model" / "model.safetensors"), "takes no space twice"
    assert "**Passed** all 3 gates." in (kept / "README.md").read_text()
    assert (bench.folder / "model" / "README.md").read_text() == "Not evaluated yet."
    assert [gate.name for gate in outputs.gates] == ["golden tests"]
    assert outputs.passed
    assert "validation" not in outputs.summary


async def test_without_golden_tests_the_production_gate_says_what_it_does_not_show(bench, serve, retrained):
    outputs, folder = await bench.prepare("plain", num_rephrases=0, golden_fraction=0)
    bench.upstream["dataset"] = Upstream(outputs, folder)
    serve(knows(bench))
    bench.upstream["evaluation"] = Upstream(await evaluated(bench), bench.folder)
    produced = await PRODUCTION.run(bench.context("production", ProductionAnswers()))
    assert [gate.name for gate in produced.gates] == ["training loss", "course of training", "validation tests", "training tests"]
    warnings = [event.text for event in bench.events if isinstance(event, Notice) and event.level == "warning"]
    assert any("there is no golden set: validation was learnt too" in text for text in warnings)


class Quantises:
    """A job that leaves a copy at once, as the quantising program would."""

    async def run(self, job, on_event, place):
        self.job = job
        on_event({"type": "log", "line": "int8: 90 MB, the model has 180 MB"})

    async def fetch(self, job, paths, into):
        assert paths == ["quantised", "quantised.json"]
        (into / "quantised").mkdir()
        (into / "quantised" / "model.safetensors").write_text("smaller")
        files = {"model.safetensors": hashlib.sha256(b"smaller").hexdigest()}
        (into / "quantised.json").write_text(json.dumps({"files": files, "kind": "int8", "calibrated_on": 9}))


async def with_copy(bench, **answers) -> tuple[Outputs, Quantises]:
    context = bench.context("production", ProductionAnswers(quantised="int8", **answers))
    jobs = Quantises()
    return await PRODUCTION.run(dataclasses.replace(context, jobs=jobs)), jobs


async def test_a_quantised_copy_has_to_pass_the_same_tests(bench, serve, retrained):
    served = serve(knows(bench))
    bench.upstream["evaluation"] = Upstream(await evaluated(bench), bench.folder)
    before = len(served.requests)
    outputs, jobs = await with_copy(bench)
    gates = {gate.name: gate.passed for gate in outputs.gates}
    assert gates["int8 golden tests"]
    assert gates["int8 training tests"]
    assert set(gates) > {"golden tests", "training tests", "course of training"}
    assert outputs.summary["quantised"]["int8 golden"]["tests"] == outputs.summary["golden"]["tests"]
    asked = [str(request) for request in served.requests[before:]]
    assert sorted(asked[: len(asked) // 2]) == sorted(asked[len(asked) // 2 :]), "the copy is asked all that the model was"
    assert outputs.files["quantised"] == "quantised"
    assert outputs.files["model"] == "model", "the whole model is kept"
    card = (jobs.job.files["config.json"].parent / "quantised" / "README.md").read_text()
    assert "a smaller copy: weights in int8, calibrated on 9 training rows" in card
    assert "| int8 golden |" in card
    told = json.loads(jobs.job.files["config.json"].read_text())
    assert (told["kind"], told["model"], told["rows"]) == ("int8", "model", "rows.jsonl")
    assert jobs.job.files["rows.jsonl"].name == "combined_train_val.jsonl", "calibrated on the rows it was trained on"
    assert {"quantise.py", "rows.py", "environment.py", "quantising.txt"} <= set(jobs.job.files)
    assert jobs.job.command[1:] == ("environment.py", "quantising.txt", "python", "quantise.py", "config.json")


async def test_a_copy_that_lost_too_much_fails_and_says_which_tests(bench, serve, retrained, monkeypatch):
    serve(knows(bench))
    bench.upstream["evaluation"] = Upstream(await evaluated(bench), bench.folder)
    plain = quantised.judge

    async def judged(context, bars, model, dataset, sets):
        serve(knows(bench, *messages_of(bench, "golden")))
        return await plain(context, bars, model, dataset, sets)

    monkeypatch.setattr(quantised, "judge", judged)
    outputs, _ = await with_copy(bench)
    gates = {gate.name: gate.passed for gate in outputs.gates}
    assert gates["golden tests"]
    assert not gates["int8 golden tests"]
    assert not outputs.passed


async def test_a_model_that_was_not_trained_again_can_be_quantised(bench, serve, retrained):
    serve(knows(bench))
    bench.upstream["evaluation"] = Upstream(await evaluated(bench), bench.folder)
    (bench.folder / "model").mkdir()
    outputs, jobs = await with_copy(bench, retrain=False, quantise_python="/opt/compressor/bin/python")
    assert "int8 golden tests" in [gate.name for gate in outputs.gates]
    assert jobs.job.files["rows.jsonl"].name == "train.jsonl"
    assert jobs.job.command == ("/opt/compressor/bin/python", "quantise.py", "config.json")


async def test_an_adapter_cannot_be_quantised_and_that_is_said_before_training(bench, serve, retrained, monkeypatch):
    serve(knows(bench))
    bench.upstream["evaluation"] = Upstream(await evaluated(bench), bench.folder)
    monkeypatch.setattr(production.TrainingAnswers, "model_validate", lambda *_: TrainingAnswers(artifact="adapter"))
    with pytest.raises(UsageError, match=r"production.quantised int8: .* answer training.artifact: merged"):
        await with_copy(bench)
    assert not (bench.folder / "runs" / "production" / "model").exists()
