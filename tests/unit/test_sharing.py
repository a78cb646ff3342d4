"""Which models may learn from shared prefixes, by their configs."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

from core.training import out_of_memory, sharing
from core.training.base_models import read_models
from core.training.sharing import attention_kind, can_share

LONGEST = 2000


@pytest.mark.parametrize(
    "config",
    [
        {"model_type": "llama"},
        {"model_type": "qwen2", "sliding_window": 1024, "use_sliding_window": False},
        {"model_type": "qwen3", "sliding_window": None, "layer_types": ["full_attention"] * 3},
        {"model_type": "mistral", "sliding_window": None},
        {"model_type": "mistral", "sliding_window": 4096, "max_position_embeddings": 32768},
        {"model_type": "phi3", "sliding_window": 262144, "max_position_embeddings": 131072},
        {"model_type": "smollm3", "layer_types": ["full_attention"], "sliding_window": None},
        {"model_type": "gemma3", "text_config": {"model_type": "gemma3_text", "sliding_window": 4096}},
        {"model_type": "granitemoehybrid", "layer_types": ["attention", "attention"]},
        {},
    ],
)
def test_full_attention_may(config):
    assert can_share(config, LONGEST) is None


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"model_type": "qwen3_next"}, "linear attention"),
        ({"model_type": "qwen3_5", "text_config": {"model_type": "qwen3_5_text", "layer_types": ["linear_attention"]}}, "linear_attention"),
        ({"model_type": "mamba2"}, "linear attention"),
        ({"model_type": "granitemoehybrid", "layer_types": ["mamba", "attention"]}, "(mamba)"),
        ({"model_type": "granitemoehybrid"}, "linear attention"),
        ({"model_type": "lfm2", "layer_types": ["conv", "full_attention"]}, "(conv)"),
        ({"model_type": "gpt_oss", "layer_types": ["sliding_attention", "full_attention"]}, "attention sinks"),
        ({"model_type": "mistral", "sliding_window": 1999}, "looks back 1,999 tokens"),
        ({"model_type": "gemma3_text", "sliding_window": 512, "layer_types": ["sliding_attention", "full_attention"]}, "512"),
        ({"model_type": "gemma3", "text_config": {"model_type": "gemma3_text", "sliding_window": 512}}, "512"),
        ({"model_type": "qwen2", "sliding_window": 512, "use_sliding_window": True}, "512"),
        ({"model_type": "llama4_text", "attention_chunk_size": 1024}, "1,024"),
    ],
)  # fmt: skip
def test_others_may_not_and_are_told_why(config, said):
    reason = can_share(config, LONGEST)
    assert reason is not None
    assert said in reason


def test_the_list_says_what_the_configs_say():
    for name, model in read_models().models.items():
        if model.config:
            assert attention_kind(model.config) == model.attention, name
    assert (
        attention_kind({"model_type": "gemma2", "sliding_window": 4096, "max_position_embeddings": 8192}) == "sliding"
    )
    assert attention_kind({"model_type": "lfm2"}) == "hybrid"


@pytest.mark.parametrize("module", [sharing, out_of_memory])
def test_they_work_beside_the_training_program(tmp_path, module):
    name = module.__name__.rpartition(".")[2]
    shutil.copy(module.__file__, tmp_path)
    done = subprocess.run([sys.executable, "-S", "-c", f"import {name}"], cwd=tmp_path, check=False)
    assert done.returncode == 0
