"""One way of training, measured in a process of its own: `python training_way.py config.json` prints one JSON object.

`bench_tree.py` starts it with the project and its training program in PYTHONPATH. Every way gets the same model, adapter, labels and rows
in the same order. TRL's ways are its SFTTrainer's own.
"""

from __future__ import annotations

import json
import resource
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import attention
import torch
from datasets import Dataset
from peft import LoraConfig, get_peft_model
from rows import FoldRows
from trainer import TreeTrainer
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
from trl import SFTConfig, SFTTrainer

RANK = 16


class Clock(TrainerCallback):
    """Times steps and keeps the first gradient."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.gradient: dict[str, torch.Tensor] = {}

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        self._began = time.perf_counter()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.seconds.append(time.perf_counter() - self._began)

    def on_pre_optimizer_step(self, *_: Any, model: Any, **__: Any) -> None:
        if not self.seconds:
            self.gradient = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def measure(told: dict[str, Any]) -> dict[str, float]:
    """Train some steps `way`; leaves WAY-gradient.pt and WAY-weights.pt in the folder."""
    way, folder = told["way"], Path(told["folder"])
    model = make_model(told["model"], told["layers"], tree=way == "tree")
    clock = Clock()
    trainer = make_trainer(way, model, told, clock)
    trainer.train()
    torch.save(clock.gradient, folder / f"{way}-gradient.pt")
    weights = {name: p.detach() for name, p in trainer.model.named_parameters() if p.requires_grad}
    torch.save(weights, folder / f"{way}-weights.pt")
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    return {
        "seconds": statistics.median(clock.seconds[1:]),
        "loss": float(losses[0]),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def make_model(folder: str, layers: int, tree: bool) -> Any:
    """The first layers of a model, in float32, with an adapter that does something from the beginning."""
    attention.register()
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_pretrained(
        folder,
        num_hidden_layers=layers,
        dtype=torch.float32,
        attn_implementation=attention.NAME if tree else "sdpa",
    )
    config = LoraConfig(
        r=RANK, lora_alpha=RANK, target_modules="all-linear", task_type="CAUSAL_LM", init_lora_weights=False
    )
    return get_peft_model(model, config)


def make_trainer(way: str, model: Any, told: dict[str, Any], clock: Clock) -> SFTTrainer:
    rows = json.loads(Path(told["rows"]).read_text(encoding="utf-8"))
    data = Dataset.from_list(rows if way == "tree" else [masked(row) for row in rows])
    step, longest = told["rows_a_step"], max(len(row["input_ids"]) for row in rows)
    micro = step if way == "tree" else min(step, max(1, told["tokens_at_once"] // longest))
    while step % micro:
        micro -= 1
    settings: dict[str, Any] = {
        "output_dir": str(Path(told["folder"]) / "out"), "max_steps": told["steps"], "learning_rate": 1e-3,
        "logging_steps": 1, "save_strategy": "no", "report_to": "none", "use_cpu": True, "bf16": False,
        "disable_tqdm": True, "gradient_checkpointing": False, "max_length": None, "seed": 1, "data_seed": 1,
        "per_device_train_batch_size": micro, "gradient_accumulation_steps": step // micro,
        "completion_only_loss": True,
    }  # fmt: skip
    kind: type[SFTTrainer] = SFTTrainer
    extra: dict[str, Any] = {}
    if way == "tree":
        settings |= {"remove_unused_columns": False, "dataset_kwargs": {"skip_prepare_dataset": True}}
        kind, extra = TreeTrainer, {"data_collator": FoldRows()}
    elif way == "padding-free":
        settings["padding_free"] = True
    elif way == "packing":  # one sequence holds about as many rows as a forward pass of the others
        settings |= {"packing": True, "max_length": micro * longest, "per_device_train_batch_size": 1}
    tokenizer = AutoTokenizer.from_pretrained(told["model"])
    trainer = kind(
        model=model,
        args=SFTConfig(**settings),
        train_dataset=data,
        processing_class=tokenizer,
        callbacks=[clock],
        **extra,
    )
    if isinstance(trainer, TreeTrainer):
        trainer.way, _ = attention.choose_way("auto", trainer.model.device)
    return trainer


def masked(row: dict[str, Any]) -> dict[str, list[int]]:
    """A row as TRL wants it: labels by a mask."""
    own = len(row["input_ids"]) - row["labels_from"]
    return {"input_ids": row["input_ids"], "completion_mask": [0] * row["labels_from"] + [1] * own}


if __name__ == "__main__":
    print(json.dumps(measure(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))))
