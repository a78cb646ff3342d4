"""Weights shared out among GPUs (FSDP2), for a model that one of them does not hold: each layer is whole only while it is at work.

Accelerate shares them out when training begins, from weights that each process keeps in the machine's own memory until then; it refuses
that for processes without GPUs.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from report import wait_for_all
from torch.distributed.fsdp import MixedPrecisionPolicy
from transformers import AutoModelForCausalLM

LAYERS_CHECKED = 2


def arguments() -> dict[str, Any]:
    """What the trainer is told. Gradients are shared out after each batch, since a step's sum of whole ones may not fit."""
    return {
        "fsdp": True,
        "fsdp_config": {
            "version": 2,
            "auto_wrap_policy": "TRANSFORMER_BASED_WRAP",
            "reshard_after_forward": True,
            "state_dict_type": "FULL_STATE_DICT",
        },
        "accelerator_config": {"gradient_accumulation_kwargs": {"sync_each_batch": True}},
    }


def keep_precision(accelerator: Any, dtype: torch.dtype) -> None:
    """Compute as without sharing out: layers in `dtype`, sums of gradients in float32, which accelerate would do in `dtype` too."""
    accelerator.state.fsdp_plugin.mixed_precision_policy = MixedPrecisionPolicy(
        param_dtype=dtype if dtype is not torch.float32 else None, reduce_dtype=torch.float32, cast_forward_inputs=False
    )


def stand_in(config: Any, device: torch.device, dtype: torch.dtype) -> Any:
    """A model of the same kind with random weights and few layers, small enough to be checked on one GPU."""
    small = copy.deepcopy(config)
    small.num_hidden_layers = min(LAYERS_CHECKED, small.num_hidden_layers)
    if getattr(small, "layer_types", None):
        small.layer_types = small.layer_types[: small.num_hidden_layers]
    return AutoModelForCausalLM.from_config(small, dtype=dtype).to(device)


def release(model: Any) -> None:
    """Free the GPUs of a model whose weights are kept elsewhere. All processes must call it together."""
    model.to("meta")
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    wait_for_all()
