"""Run by torchrun: a model whose weights are shared out (FSDP2) among processes, against one that each process has whole. Gradients, each
process with its own rows; and trained weights, of an adapter and of all, gathered, saved and given back. Prints relative differences."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from torch.distributed.fsdp import fully_shard
from transformers import AutoModelForCausalLM

from tests.rigs.program import module

attention, rows, trainer, weights = map(module, ("attention", "rows", "trainer", "weights"))


def model(folder: str, dtype: torch.dtype = torch.float32, adapter: bool = True) -> Any:
    attention.register()
    torch.manual_seed(0)
    base = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, attn_implementation=attention.NAME)
    if not adapter:
        return base
    return get_peft_model(base, LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM", init_lora_weights=False))


def gradients(model: Any, batch: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
    trainer.summed_loss(model, rows.FoldRows()(batch), "blocks").backward()
    found = {name: weight.grad for name, weight in model.named_parameters() if weight.grad is not None}
    return {name: grad.full_tensor() if hasattr(grad, "full_tensor") else grad for name, grad in found.items()}


def share_out(model: Any) -> Any:
    for layer in model.get_decoder().layers:
        fully_shard(layer)
    fully_shard(model)
    return model


def kept(folder: str, adapter: bool, dtype: torch.dtype) -> None:
    """Save the trained weights of a shared-out model, spoil them, give them back: they are the whole model's all the time."""
    whole = {name: weight.detach() for name, weight in model(folder, dtype, adapter).named_parameters() if weight.requires_grad}
    shared = share_out(model(folder, dtype, adapter))
    assert weights.is_sharded(shared)
    gathered = weights.trained_weights(shared)
    leads = torch.distributed.get_rank() == 0
    assert gathered.keys() == (whole.keys() if leads else set())
    place = [tempfile.mkdtemp() if leads else None]
    torch.distributed.broadcast_object_list(place)
    path = Path(str(place[0])) / "weights.safetensors"
    if leads:
        weights.save_weights(gathered, path)
    torch.distributed.barrier()
    with torch.no_grad():
        for weight in shared.parameters():
            weight.mul_(-3) if weight.requires_grad else None
    spoilt = weights.trained_weights(shared)
    weights.load_weights(path, shared)
    back = weights.trained_weights(shared)
    if leads:
        assert all(not torch.equal(spoilt[name], whole[name]) for name in whole)
        assert all(torch.equal(gathered[name], whole[name]) and torch.equal(back[name], whole[name]) for name in whole)
        alone = model(folder, dtype, adapter)
        weights.load_weights(path, alone)
        print("kept", len(back), "of an adapter" if adapter else "of all weights", str(dtype).removeprefix("torch."))


def main(folder: str) -> None:
    torch.distributed.init_process_group("gloo")
    rank, world = torch.distributed.get_rank(), torch.distributed.get_world_size()
    data = [{"input_ids": [*range(10, 40), 50 + n, 60, 61 + n], "labels_from": 31} for n in range(6)]
    alone = gradients(model(folder), data)
    shared = share_out(model(folder))
    together = gradients(shared, data[rank::world])
    if rank == 0:
        assert alone.keys() == together.keys()
        apart = sum(float((world * together[name] - alone[name]).pow(2).sum()) for name in alone)
        print("gradients", (apart / sum(float(grad.pow(2).sum()) for grad in alone.values())) ** 0.5)
    for adapter, dtype in ((True, torch.float32), (True, torch.bfloat16), (False, torch.float32)):
        kept(folder, adapter, dtype)
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))
    main(sys.argv[1])
