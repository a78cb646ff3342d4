"""A plan for several GPUs: rows shared out where each holds the model, weights too where none does."""

from __future__ import annotations

import pytest

from core.training.base_models import find, read_models
from core.training.hardware import cpu, gpu, together
from core.training.memory import Load, memory
from core.training.plan import TrainingSettings
from core.training.planner import SPARE, plan
from core.training.ways import EFFICIENCY
from core.wizard import training_plan
from core.wizard.steps.training import TrainingAnswers
from core.wizard.training_plan import make_plan
from tests.unit.test_training_plan import A100_40, LLAMA, listed, made

ROWS = made(400, shared=600, own=60)
L4, T4 = gpu("NVIDIA L4", 23_034 << 20), gpu("Tesla T4", 15_360 << 20)
SMALL = listed("SmolLM2-135M-Instruct")


def planned(hardware, facts=LLAMA, **settings):
    return plan(facts.name, facts, ROWS, TrainingSettings(**settings), hardware, others=read_models().facts())


def test_where_one_gpu_holds_the_model_rows_are_shared_out():
    one, four = planned(A100_40), planned(together(A100_40, 4))
    assert (four.method, four.gpus, four.sharded, four.way["sharded"]) == ("lora", 4, False, False)
    assert four.micro_rows <= 4, "a quarter of the 16 rows of a step"
    assert one.minutes is not None
    assert four.minutes is not None
    assert one.minutes[1] > four.minutes[1] > one.minutes[1] / 4
    assert "data parallel" in four.reasons["GPUs"]
    assert f"assumed to be {4 * EFFICIENCY[False]:.1f} times as fast as one, which was not measured" in four.reasons["GPUs"]
    assert " on 4 × NVIDIA A100-SXM4-40GB; " in four.sentence
    assert " on each of 4 GPUs" in four.sentence
    assert "GPUs" not in one.reasons


def test_where_none_does_weights_are_shared_out_rather_than_rounded():
    alone, together_ = planned(T4), planned(together(T4, 4))
    assert (alone.method, alone.sharded) == ("qlora", False)
    assert (together_.method, together_.sharded, together_.way["sharded"]) == ("lora", True, True)
    assert together_.memory is not None
    assert together_.memory.total <= (1 - SPARE) * T4.memory
    reason = together_.reasons["GPUs"]
    assert reason.startswith("4 share out rows, weights, gradients and moments (FSDP): with the whole model each would need at least 1")
    assert ", each Tesla T4 has 16 GB; " in reason
    assert not together_.problem


@pytest.mark.parametrize("method", ["auto", "qlora"])
def test_weights_in_4_bits_are_whole_on_each(method):
    found = planned(together(T4, 2), method=method)
    assert (found.method, found.sharded) == (("qlora", False) if method == "qlora" else ("lora", True))
    small = planned(together(gpu("Old", 8 << 30), 2), listed("Qwen3-4B-Instruct-2507"), method="qlora")
    assert not small.sharded


def test_all_weights_of_a_model_too_large_for_one():
    found = planned(together(gpu("NVIDIA H100 80GB HBM3", 81_559 << 20), 4), method="full")
    assert (found.method, found.sharded, found.fits) == ("full", True, True)
    refused = planned(together(T4, 2), method="full")
    assert refused.fits is False
    assert "and each Tesla T4 has 16 GB" in refused.problem
    assert "method lora would fit" in refused.problem


def test_shares_are_of_weights_and_moments_and_not_of_activations():
    load = Load(4096, 64)
    for method in ("lora", "full"):
        whole, half, quarter = (memory(LLAMA, load, 16, method=method, shards=shards) for shards in (1, 2, 4))
        assert half.adapter == pytest.approx(whole.adapter / 2)
        assert quarter.weights == pytest.approx(half.weights / 2)
        assert half.activations == quarter.activations == whole.activations
        assert whole.gathered == 0 < half.gathered == quarter.gathered
    assert memory(LLAMA, load, 16, shards=2).weights == pytest.approx(memory(LLAMA, load, 16).weights / 2)


@pytest.mark.parametrize("count", [1, 2, 3, 16, 40])
def test_every_gpu_has_rows_of_its_own(count):
    found = planned(together(L4, count), SMALL)
    assert found.micro_rows <= max(1, 16 // count)
    assert not found.sharded


def test_a_machine_without_gpus_is_what_it_is():
    machine = cpu(8, 64_000_000_000, True)
    assert together(machine, 4) == machine


def test_answers_say_how_many(tmp_path):
    (tmp_path / "rows.jsonl").write_text('{"prompt": "a b c", "completion": "b"}\n' * 32)
    for gpus in (None, 1, 4):
        answers = TrainingAnswers(gpus=gpus)
        found = make_plan(answers, 1, find("meta-llama/Llama-3.1-8B-Instruct"), [tmp_path / "rows.jsonl"], None, T4)
        assert found is not None
        assert found.gpus == (gpus or 1)
        assert found.sharded == (gpus == 4)
    assert training_plan.this_machine().count == 1
