"""The base model, with an adapter unless all weights are trained, on the device it is trained on, in the way the plan decided."""

from __future__ import annotations

import os
from functools import partial
from typing import Any

import torch
from peft import LoraConfig, get_peft_model, prepare_model_for_kbit_training
from report import log
from torch.utils.checkpoint import checkpoint
from transformers import AutoModelForCausalLM, BitsAndBytesConfig


def device_of_this_process() -> torch.device:
    """A GPU of its own where there are any, else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    return torch.device("cpu")


def load_model(folder: str, settings: dict[str, Any], plan: dict[str, Any], dtype: torch.dtype) -> Any:
    """A PEFT model, or the model itself where all weights are trained, which are kept in float32 whatever it computes in.

    The method is that of `plan` (lora, qlora for weights in 4 bits, or full), else of the settings; `plan` also names how many layers
    compute their activations again, and whether weights will be shared out among GPUs, for which they wait in the machine's memory.
    """
    device, method = device_of_this_process(), method_of(settings, plan)
    if plan.get("sharded"):
        device = torch.device("cpu")
    if method == "full":
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).to(device)
        computed_again(model, plan.get("checkpointed_layers", 0))
        return model
    if method == "qlora":
        four_bits = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=torch.bfloat16,
        )
        model = AutoModelForCausalLM.from_pretrained(
            folder, dtype=dtype, quantization_config=four_bits, device_map={"": device}
        )
        model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
    else:
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).to(device)
    model = get_peft_model(
        model,
        LoraConfig(
            r=settings["lora_rank"],
            lora_alpha=settings["lora_alpha"],
            lora_dropout=0.0,  # branches of one prefix would get different noise
            target_modules="all-linear",
            task_type="CAUSAL_LM",
        ),
    )
    computed_again(model, plan.get("checkpointed_layers", 0))
    return model


def method_of(settings: dict[str, Any], plan: dict[str, Any]) -> str:
    """lora, qlora or full."""
    asked = settings.get("method", "auto")
    return str(plan.get("method") or ("lora" if asked == "auto" else asked))


def computed_again(model: Any, layers: int) -> None:
    """Let the first layers keep their inputs only, and compute the rest again on the way back."""
    found = model.get_decoder().layers
    for layer in found[:layers]:
        layer.forward = partial(checkpoint, layer.forward, use_reentrant=False)
    if layers:
        log(f"activations of {min(layers, len(found))} of {len(found)} layers are computed again, to save memory")
