"""Run by torchrun: gradients of a model whose weights are shared out (FSDP2) among processes, each with its own rows, against those of
one process with all rows. Prints the relative difference."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from torch.distributed.fsdp import fully_shard
from transformers import AutoModelForCausalLM

from tests.rigs.program import module

attention, rows, trainer = module("attention"), module("rows"), module("trainer")


def model(folder: str) -> Any:
    attention.register()
    torch.manual_seed(0)
    base = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation=attention.NAME)
    return get_peft_model(base, LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM", init_lora_weights=False))


def gradients(model: Any, batch: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
    trainer.summed_loss(model, rows.FoldRows()(batch), "blocks").backward()
    found = {name: weight.grad for name, weight in model.named_parameters() if weight.grad is not None}
    return {name: grad.full_tensor() if hasattr(grad, "full_tensor") else grad for name, grad in found.items()}


def main(folder: str) -> None:
    torch.distributed.init_process_group("gloo")
    rank, world = torch.distributed.get_rank(), torch.distributed.get_world_size()
    data = [{"input_ids": [*range(10, 40), 50 + n, 60, 61 + n], "labels_from": 31} for n in range(6)]
    alone = gradients(model(folder), data)
    shared = model(folder)
    for layer in shared.get_base_model().get_decoder().layers:
        fully_shard(layer)
    fully_shard(shared)
    together = gradients(shared, data[rank::world])
    if rank == 0:
        assert alone.keys() == together.keys()
        apart = sum(float((world * together[name] - alone[name]).pow(2).sum()) for name in alone)
        print("apart", (apart / sum(float(grad.pow(2).sum()) for grad in alone.values())) ** 0.5)
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))
    main(sys.argv[1])
