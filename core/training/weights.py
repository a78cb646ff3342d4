"""The trained weights of a model, by name: the adapter's with LoRA, all of them in full fine-tuning.

Where they are shared out among processes (FSDP) they are gathered and given back through torch's distributed state dicts. Two names of
one matrix, as of a head that is the embedding, count once, so that what was tied stays tied.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from report import leads
from safetensors.torch import load_file, save_file
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict, set_model_state_dict
from torch.distributed.tensor import DTensor


def is_sharded(model: Any) -> bool:
    """Whether the model's weights are shared out among processes."""
    return any(isinstance(weight, DTensor) for weight in model.parameters())


def trained_weights(model: Any) -> dict[str, torch.Tensor]:
    """Whole weights on the CPU, in their own precision; empty in processes that do not lead. All processes must call it together."""
    names = [name for name, weight in model.named_parameters() if weight.requires_grad]
    if is_sharded(model):
        options = StateDictOptions(full_state_dict=True, cpu_offload=True, ignore_frozen_params=True)
        gathered = get_model_state_dict(model, options=options)
        return {name: gathered[name] for name in names} if leads() else {}
    return {name: model.get_parameter(name).detach().cpu() for name in names} if leads() else {}


def save_weights(weights: Mapping[str, torch.Tensor], path: Path) -> None:
    """Write weights as safetensors."""
    save_file({name: weight.contiguous() for name, weight in weights.items()}, path)


def load_weights(path: Path, model: Any) -> None:
    """Give a model the weights that `save_weights` wrote. All processes must call it together; the one that leads reads the file for all
    where weights are shared out. Raises ValueError when the file is not of this model's trained weights."""
    if is_sharded(model):
        options = StateDictOptions(full_state_dict=True, broadcast_from_rank0=True, strict=False)
        set_model_state_dict(model, load_file(path) if leads() else {}, options=options)
        return
    put_weights(load_file(path), model)


def put_weights(weights: Mapping[str, torch.Tensor], model: Any) -> None:
    """Give a model whose weights are whole those of `weights`. Raises ValueError when these are not its trained ones."""
    trained = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
    if other := sorted(trained.keys() ^ weights.keys()):
        raise ValueError(f"the weights kept are not those of this model: {len(other)} differ, the first is {other[0]}")
    with torch.no_grad():
        for name, weight in trained.items():
            weight.copy_(weights[name])
