"""What is trained, when that is asked for: what a plan counts, honours and refuses; and the learning rate of all weights."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from core.errors import UsageError
from core.training.base_models import find, read_models
from core.training.effort import settings_for
from core.training.hardware import cpu, gpu
from core.training.memory import Load, memory
from core.training.plan import PRESETS, TrainingSettings, adapter_in_words
from core.training.planner import SPARE, plan
from core.training.throughput import operations
from core.wizard.steps.training import TrainingAnswers
from core.wizard.training_plan import chosen_settings
from core.wizard.work import training
from tests.rigs.finished import manifest
from tests.unit.test_training_plan import A100_40, LLAMA, listed, made
from tests.unit.test_training_step import OneJob, trained

SMALL = listed("SmolLM2-135M-Instruct")
ROWS = made(400, shared=600, own=60)
T4, L4, HERE = gpu("Tesla T4", 15_360 << 20), gpu("NVIDIA L4", 23_034 << 20), cpu(2, 24_000_000_000, True)


def planned(facts, hardware, method):
    return plan(facts.name, facts, ROWS, TrainingSettings(method=method), hardware, others=read_models().facts())


def test_all_weights_take_16_bytes_each_and_2_more_for_copies_in_bfloat16():
    load = Load(1, 1)
    whole = memory(SMALL, load, 16, method="full", bytes_per_number=4)
    mixed = memory(SMALL, load, 16, method="full", bytes_per_number=2)
    assert (whole.weights + whole.adapter) / SMALL.parameters == pytest.approx(16)
    assert (mixed.weights + mixed.adapter) / SMALL.parameters == pytest.approx(18)
    assert mixed.activations == whole.activations


def test_all_weights_take_half_as_many_operations_again():
    assert operations(LLAMA, 1000, 0, all_weights=True) == pytest.approx(1.5 * operations(LLAMA, 1000, 0))
    assert operations(LLAMA, 0, 1000, all_weights=True) == pytest.approx(1.5 * operations(LLAMA, 0, 1000))


@pytest.mark.parametrize(
    ("facts", "hardware", "asked", "method"),
    [
        (SMALL, HERE, "full", "full"),
        (SMALL, T4, "full", "full"),
        (SMALL, T4, "qlora", "qlora"),
        (SMALL, None, "full", "full"),
        (SMALL, None, "qlora", "qlora"),
        (LLAMA, L4, "lora", "lora"),
        (LLAMA, A100_40, "qlora", "qlora"),
        (LLAMA, A100_40, "auto", "lora"),
    ],
)
def test_what_is_asked_for_and_fits_is_planned(facts, hardware, asked, method):
    found = planned(facts, hardware, asked)
    assert found.method == found.way["method"] == method
    assert found.fits is not False
    assert not found.problem
    assert ("as answered" in found.reasons["method"]) == (asked != "auto")
    assert found.memory is not None
    if hardware is not None:
        assert found.memory.total <= (1 - SPARE) * hardware.memory
    if asked == "full":
        assert found.offers == ()
        assert "all weights, as answered: in float32" in found.reasons["method"]


@pytest.mark.parametrize(
    ("facts", "hardware", "asked", "said"),
    [
        (LLAMA, A100_40, "full", r"needs at least 1\d\d GB to train all weights and NVIDIA A100.* has 43 GB .*; method lora would fit"),
        (LLAMA, T4, "full", r"to train all weights and Tesla T4 has 16 GB .*; method qlora would fit \(\d"),
        (LLAMA, T4, "lora", r"needs at least 1\d GB with LoRA and Tesla T4 has .*; method qlora would fit"),
        (SMALL, HERE, "qlora", r"QLoRA needs a GPU for weights in 4 bits, and the machine has none; method lora would fit"),
        (LLAMA, gpu("Tesla P4", 8 << 30), "qlora", r"as QLoRA and Tesla P4 has .*; Qwen3-4B|as QLoRA .* would fit"),
        (LLAMA, gpu("Old", 1 << 30), "full", r"to train all weights and Old has 1.1 GB .*; no model of the list would fit"),
        (LLAMA, cpu(2, 1 << 30, True), "qlora", r"QLoRA needs a GPU .*; no model of the list would fit"),
    ],
)
def test_what_is_asked_for_and_does_not_fit_is_refused_with_what_would(facts, hardware, asked, said):
    import re

    found = planned(facts, hardware, asked)
    assert found.fits is False
    assert re.search(said, found.problem), found.problem
    assert found.problem in found.sentence
    assert found.minutes is None


def test_of_a_model_that_is_not_known_the_method_is_kept():
    assert plan("it", None, ROWS, TrainingSettings(method="full")).method == "full"
    assert plan("it", None, ROWS, TrainingSettings()).method == "lora"


@pytest.mark.parametrize("effort", ["draft", "standard", "thorough"])
@pytest.mark.parametrize("parameters", [135_000_000, 3_000_000_000, None])
def test_all_weights_learn_at_a_tenth_of_an_adapters_rate(effort, parameters):
    adapter, whole = (settings_for(effort, parameters, method=method) for method in ("auto", "full"))
    assert whole.settings.learning_rate == pytest.approx(adapter.settings.learning_rate / 10)
    assert replace(whole.settings, learning_rate=0, method="") == replace(adapter.settings, learning_rate=0, method="")
    assert "a tenth of LoRA's" in whole.reasons["learning_rate"]
    assert "lora_rank" not in whole.reasons
    own = settings_for(effort, parameters, method="full", learning_rate=2e-5)
    assert own.settings.learning_rate == 2e-5
    assert own.reasons["learning_rate"] == "as answered"


def test_so_it_is_with_a_presets_rate():
    def chosen(**answers):
        given = TrainingAnswers(method="full", preset="recipe-2025", **answers)
        return chosen_settings(given, 1, find(given.base_model))

    assert chosen().settings.learning_rate == pytest.approx(PRESETS["recipe-2025"].learning_rate / 10)
    assert chosen(learning_rate=3e-5).settings.learning_rate == 3e-5


def test_what_was_trained_is_told():
    assert adapter_in_words({"lora_rank": 16, "learning_rate": 1e-4}) == "LoRA of rank 16, learning rate 0.0001"
    assert adapter_in_words({"method": "full", "lora_rank": 16, "learning_rate": 1e-5}) == "none, all weights, learning rate 1e-05"


class WithoutAdapter(OneJob):
    """A run of full training leaves a whole model alone."""

    async def fetch(self, job, paths, into):
        await super().fetch(job, paths, into)
        if "manifest.json" in paths:
            (into / "manifest.json").write_text(json.dumps(manifest(folders=["model"])))


@pytest.mark.parametrize(("method", "jobs"), [("auto", OneJob), ("full", WithoutAdapter)])
async def test_an_adapter_is_fetched_only_where_there_is_one(tmp_path, monkeypatch, method, jobs):
    ran = jobs("converged")
    outputs, _ = await trained(tmp_path, "converged", monkeypatch, TrainingAnswers(method=method), ran)
    assert ("adapter" in ran.fetched) == ("adapter" in outputs.files) == (method == "auto")
    assert outputs.files["model"] == "model"
    assert outputs.summary["settings"]["method"] == method


def test_training_all_weights_never_leaves_an_adapter():
    assert TrainingAnswers(method="full", machine="ssh:box").artifact_kind == "merged"


async def test_the_step_refuses_before_anything_runs(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "this_machine", lambda: HERE)
    monkeypatch.setattr(training, "find", lambda name: find("HuggingFaceTB/SmolLM2-135M-Instruct"))
    jobs = OneJob("converged")
    with pytest.raises(UsageError, match=r"training.method qlora: QLoRA needs a GPU .*; method lora would fit"):
        await trained(tmp_path, "converged", monkeypatch, TrainingAnswers(method="qlora"), jobs)
    assert not hasattr(jobs, "job")
