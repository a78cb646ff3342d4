"""What vLLM is told follows from model, requests and machine, and each flag has its reason."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.test_elsewhere import GPU, machine

from core.errors import StepFailed
from core.serving.adapter import Adapter
from core.serving.elsewhere import plan_elsewhere
from core.serving.vllm_flags import ANSWER_TOKENS, Model, VllmFlags, model_in, vllm_flags

GIB = 1 << 30
LLAMA_8B = {
    "model_type": "llama", "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32,
    "num_key_value_heads": 8, "vocab_size": 128256, "max_position_embeddings": 131072, "dtype": "bfloat16",
}  # fmt: skip
T4 = {"name": "Tesla T4", "memory": 15 * GIB, "driver": "550.1", "compute": "7.5"}
A100 = {"name": "NVIDIA A100-SXM4-80GB", "memory": 80 * GIB, "driver": "570.1", "compute": "8.0"}


def value(flags: VllmFlags, name: str) -> str | None:
    return flags.arguments[flags.arguments.index(name) + 1] if name in flags.arguments else None


def small(**more: object) -> Model:
    """A model of 1.5 GB that reads 8,192 tokens."""
    config = {**LLAMA_8B, "num_hidden_layers": 16, "hidden_size": 1024, "num_attention_heads": 16, "max_position_embeddings": 8192}
    return Model(config, int(1.5 * GIB), **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("gpus", "kind", "dtype", "why"),
    [
        ([A100], "llama", "bfloat16", "computes it (compute capability 8)"),
        ([GPU], "llama", "bfloat16", "compute capability 8.9"),
        ([T4], "llama", "float16", "Tesla T4 has no bfloat16 (compute capability 7.5)"),
        ([A100, T4], "llama", "float16", "has no bfloat16"),
        ([T4], "gemma3_text", "float32", "overflows in float16"),
        ([{**A100, "compute": "[N/A]"}], "llama", "auto", "does not say what it computes"),
        ([], "llama", "bfloat16", "CPU build"),
    ],
)
def test_the_precision_is_what_the_machine_computes(gpus, kind, dtype, why):
    flags = vllm_flags(Model({**LLAMA_8B, "model_type": kind}, GIB), gpus)
    assert value(flags, "--dtype") == dtype
    assert any(f"--dtype {dtype}: " in reason and why in reason for reason in flags.reasons)


@pytest.mark.parametrize(
    ("longest", "limit", "length", "why"),
    [
        (229, 8192, 1024, "the longest row it learnt has 229 tokens"),
        (1500, 131072, 4096, "twice that"),
        (1500, 2048, 2048, "the model reads no more"),
        (1900, 2048, 2048, "prompts of 1,792 tokens and more will be refused"),
        (0, 131072, 8192, "not known how long prompts are"),
        (0, 2048, 2048, "the model reads no more"),
        (300, 0, 1024, "the longest row"),
    ],
)
def test_the_length_is_what_prompts_need_and_the_model_reads(longest, limit, length, why):
    flags = vllm_flags(Model({**LLAMA_8B, "max_position_embeddings": limit}, GIB, longest_row=longest), [A100])
    assert value(flags, "--max-model-len") == str(length)
    assert any("--max-model-len" in reason and why in reason for reason in flags.reasons)


@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_the_length_never_passes_the_models_own_and_holds_every_row_it_can(longest, limit):
    model = Model({**LLAMA_8B, "max_position_embeddings": limit, "num_hidden_layers": 1}, GIB, longest_row=longest)
    length = int(value(vllm_flags(model, []), "--max-model-len") or 0)
    assert not limit or length <= limit
    assert length >= min(longest + ANSWER_TOKENS if longest else 0, limit or 10**9)


def test_models_that_also_see_are_read_one_level_down():
    flags = vllm_flags(Model({"model_type": "seer", "text_config": {**LLAMA_8B, "max_position_embeddings": 512}}, GIB), [A100])
    assert value(flags, "--max-model-len") == "512"


def test_weights_that_fit_are_on_one_gpu_with_the_usual_share():
    flags = vllm_flags(Model(LLAMA_8B, 16 * GIB), [A100, A100])
    assert flags.gpus == 1
    assert "--tensor-parallel-size" not in flags.arguments
    assert "--gpu-memory-utilization" not in flags.arguments


def test_weights_that_do_not_fit_one_gpu_are_shared_out_by_as_few_as_hold_them():
    seven = [T4] * 7
    flags = vllm_flags(Model(LLAMA_8B, 16 * GIB), seven)
    assert (flags.gpus, value(flags, "--tensor-parallel-size")) == (2, "2")
    assert any("--tensor-parallel-size 2: the weights take 17 GB and one GPU has 16 GB" in reason for reason in flags.reasons)
    more = vllm_flags(Model(LLAMA_8B, 40 * GIB), seven)
    assert more.gpus == 4, "32 heads cannot be shared out by three, and four hold it"
    with pytest.raises(StepFailed, match=r"there are 7 Tesla T4 with 16 GB free each: take larger or more GPUs"):
        vllm_flags(Model(LLAMA_8B, 80 * GIB), seven)


def test_weights_saved_in_float32_take_half_and_quantised_ones_what_they_are():
    whole = Model({**LLAMA_8B, "dtype": "float32"}, 24 * GIB)
    assert vllm_flags(whole, [T4, T4]).gpus == 2
    assert vllm_flags(whole, [A100]).gpus == 1
    packed = Model({**LLAMA_8B, "dtype": "float32", "quantization_config": {"bits": 4}}, 6 * GIB)
    assert vllm_flags(packed, [T4]).gpus == 1


def test_a_gpu_that_others_use_is_shared():
    flags = vllm_flags(small(), [{**A100, "free": 30 * GIB}])
    assert value(flags, "--gpu-memory-utilization") == "0.34"
    assert any("only 32 GB of 86 GB are free" in reason for reason in flags.reasons)
    with pytest.raises(StepFailed, match=r"2.1 GB free"):
        vllm_flags(small(), [{**A100, "free": 2 * GIB}])


def test_a_tight_fit_takes_more_than_the_usual_share():
    flags = vllm_flags(Model({**LLAMA_8B, "max_position_embeddings": 1024}, int(20.4 * GIB)), [{**GPU, "free": int(23.9 * GIB)}])
    assert value(flags, "--gpu-memory-utilization") == "0.95"


def test_memory_that_nobody_tells_is_left_to_vllm():
    flags = vllm_flags(Model({}, 0), [{**A100, "memory": 0, "free": 0}])
    assert flags.gpus == 1
    assert "--gpu-memory-utilization" not in flags.arguments


def test_the_cpu_build_keeps_room_for_requests_and_compiles_nothing():
    flags = vllm_flags(small(longest_row=229), [], 24 * GIB)
    assert flags.gpus == 0
    assert "--enforce-eager" in flags.arguments
    assert 1 <= int(flags.environment["VLLM_CPU_KVCACHE_SPACE"]) <= 6
    assert vllm_flags(small(longest_row=3000), [], 4 * GIB).environment["VLLM_CPU_KVCACHE_SPACE"] == "1"


def test_every_flag_has_its_reason():
    flags = vllm_flags(Model(LLAMA_8B, 20 * GIB, Adapter("base", 20), 700), [{**T4, "free": 12 * GIB}] * 4)
    named = [word for word in flags.arguments if word.startswith("--")]
    reasons = [reason.split(":")[0].split()[0] for reason in flags.reasons]
    assert reasons == [*named, "--max-lora-rank"]
    assert "--max-lora-rank 32: the adapter's rank is 20" in flags.reasons


def test_an_adapter_is_known_by_its_base(tmp_path: Path):
    here = tmp_path / "base"
    here.mkdir()
    (here / "config.json").write_text('{"max_position_embeddings": 77}')
    (here / "model.safetensors").write_bytes(b" " * 1000)
    assert model_in(tmp_path, Adapter("someone/base", 8), here, 5) == Model(
        {"max_position_embeddings": 77}, 1000, Adapter("someone/base", 8), 5
    )
    listed = model_in(tmp_path, Adapter("meta-llama/Llama-3.1-8B-Instruct", 8))
    assert listed.weights == pytest.approx(16e9, rel=0.02)
    assert vllm_flags(listed, [T4, T4]).gpus == 2
    unknown = model_in(tmp_path, Adapter("someone/never-heard-of", 8))
    assert value(vllm_flags(unknown, [A100]), "--max-model-len") == "8192"


def test_a_plan_says_its_flags_and_asks_for_its_gpus():
    plan = plan_elsewhere("ssh:gpu", machine(GPU), 8123, Path("/models/mine"), "calmtune", longest_row=229)
    assert plan.reason.startswith("ssh:gpu has a GPU: NVIDIA L4; --dtype bfloat16: NVIDIA L4 computes it")
    assert "--max-model-len 1024: the longest row" in plan.reason
    assert "--max-model-len" in plan.command


def test_without_a_gpu_vllm_is_the_cpu_build_that_someone_installed():
    plan = plan_elsewhere("ssh:box", machine(), 8123, Path("/m"), "calmtune", "vllm", "/opt/env/bin/python")
    assert plan.command[:4] == ("/opt/env/bin/python", "-m", "vllm.entrypoints.openai.api_server", "--model")
    assert plan.gpus == 0
    assert "VLLM_CPU_KVCACHE_SPACE" in plan.environment
    with pytest.raises(StepFailed, match=r"ssh:box has no GPU, .* name the interpreter that has it"):
        plan_elsewhere("ssh:box", machine(), 8123, Path("/m"), "calmtune", "vllm")
