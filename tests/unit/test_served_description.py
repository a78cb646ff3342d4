"""What is read from a model's folder before files to take it elsewhere are written."""

from __future__ import annotations

import json

import pytest

from core.errors import StepFailed
from core.serving.manifests.flags import flags_for
from core.serving.manifests.served import describe
from core.serving.vllm_flags import UNKNOWN_WEIGHTS
from tests.rigs.served_models import SUM, made, made_adapter, whole


def flag(served, name: str) -> str:
    return served.arguments[served.arguments.index(name) + 1]


def test_a_whole_model(tmp_path):
    served = made(tmp_path)
    assert (served.flags.weights, served.flags.gpus) == (7000, 1)
    assert served.arguments[:3] == ("/models/tuned/model", "--served-model-name", "tuned")
    assert flag(served, "--max-model-len") == "8192"
    assert "--enable-prefix-caching" in served.arguments
    assert "--tensor-parallel-size" not in served.arguments


@pytest.mark.parametrize(
    ("longest", "context", "length"), [(0, 40960, 8192), (0, 2048, 2048), (900, 40960, 3072), (30000, 40960, 40960)]
)
def test_the_length_follows_the_rows_up_to_what_the_model_reads(tmp_path, longest, context, length):
    model = made(tmp_path, max_position_embeddings=context).folders[0].here
    served = describe(model, "tuned", {"files": {}, "longest_row": longest})
    assert flag(served, "--max-model-len") == str(length)


def test_weights_saved_in_32_bits_are_loaded_in_16(tmp_path):
    assert made(tmp_path, dtype="float32").flags.weights == 3500


@pytest.mark.parametrize(("gigabytes", "gpus"), [(16, 1), (64, 1), (145, 2)])
def test_a_model_that_one_gpu_does_not_hold_is_shared_out(tmp_path, gigabytes, gpus):
    with (tmp_path / "model.safetensors").open("wb") as file:
        file.truncate(gigabytes * 10**9)
    flags = flags_for(tmp_path, None, 0)
    assert flags.gpus == gpus
    told = " ".join(flags.arguments)
    assert f"--tensor-parallel-size {gpus}" in told or gpus == 1


def test_a_model_that_eight_large_gpus_do_not_hold_is_a_sentence(tmp_path):
    with (tmp_path / "model.safetensors").open("wb") as file:
        file.truncate(2000 * 10**9)
    with pytest.raises(StepFailed, match="GB"):
        flags_for(tmp_path, None, 0)


def test_an_adapter_of_a_listed_model(tmp_path):
    served = made_adapter(tmp_path, "Qwen/Qwen3-8B")
    assert 16e9 < served.flags.weights < 17e9
    assert served.hub_base == "Qwen/Qwen3-8B"
    assert served.volume_gib > 30
    assert dict(served.folders[1].checksums) == {"model.safetensors": SUM}, "configurations may be edited"


def test_an_adapter_of_a_model_nobody_knows(tmp_path):
    served = made_adapter(tmp_path, "someone/base")
    assert served.flags.weights == UNKNOWN_WEIGHTS
    assert flag(served, "--max-model-len") == "8192"


def test_an_adapter_that_does_not_know_its_base_is_served_unchecked(tmp_path):
    model = made_adapter(tmp_path, "someone/base").folders[0].here
    (model / "base_model.json").unlink()
    assert describe(model, "tuned", {"files": {}}).folders[1].checksums == {}


def test_a_broken_adapter_is_a_sentence(tmp_path):
    (tmp_path / "adapter_config.json").write_text(json.dumps({"r": 8}))
    with pytest.raises(StepFailed, match=r"no configuration of a LoRA adapter"):
        describe(tmp_path, "tuned", {"files": {}})


def test_a_plain_name_stays_readable():
    assert whole(name="tuned").resource == "calmtune-tuned"
    assert whole(name="My_Model").resource.startswith("calmtune-my-model-")
