"""Shared-prefix training against TRL's plain, padding-free and packed rows: `python tests/bench/bench_tree.py [PROMPT TOKENS …]`.

Same model, adapter, rows and order; each way runs in a process of its own, one after the other. Printed for each: seconds a step (median),
tokens a second counted as plain rows count them, peak memory, and how far first loss, first gradient and final weights are from plain rows.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
WAYS = ("plain", "padding-free", "packing", "tree")
SUFFIX = 30
"""Tokens of a row that are its own, a third of them to be learnt."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("prompts", type=int, nargs="*", default=[350, 1000, 3000], help="tokens all rows share")
    parser.add_argument("--rows", type=int, default=16, help="rows a step")
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--child", nargs=2, metavar=("WAY", "FOLDER"))
    options = parser.parse_args()
    if options.child:
        print(json.dumps(measure(options.child[0], Path(options.child[1]), options)))
        return
    print(f"{options.rows} rows a step, {options.steps} steps, {options.layers} layers of width 576, float32")
    for prompt in options.prompts:
        with tempfile.TemporaryDirectory() as scratch:
            compare(prompt, Path(scratch), options)


def compare(prompt: int, folder: Path, options: argparse.Namespace) -> None:
    rows = make_rows(prompt, options.rows * options.steps)
    (folder / "rows.json").write_text(json.dumps(rows))
    found = {}
    for way in WAYS:
        arguments = ["--rows", str(options.rows), "--steps", str(options.steps), "--layers", str(options.layers)]
        child = [sys.executable, __file__, *arguments, "--child", way, str(folder)]
        done = subprocess.run(child, capture_output=True, text=True, check=False)
        if done.returncode:
            print(f"{way}: {done.stderr.strip().splitlines()[-1][:120]}")
            continue
        found[way] = json.loads(done.stdout.splitlines()[-1])
    print(f"\n{prompt} shared tokens of {prompt + SUFFIX}")
    print(
        f"{'':14}{'s/step':>9}{'tokens/s':>10}{'times plain':>13}{'peak MB':>9}{'loss':>10}{'gradient':>10}{'weights':>10}"
    )
    plain = found["plain"]
    for way, result in found.items():
        speed = options.rows * (prompt + SUFFIX) / result["seconds"]
        off = [distance(folder, way, what) for what in ("gradient", "weights")] if way != "packing" else ["", ""]
        loss = f"{abs(result['loss'] / plain['loss'] - 1):.1e}" if way != "packing" else ""
        print(
            f"{way:14}{result['seconds']:>9.2f}{speed:>10,.0f}{plain['seconds'] / result['seconds']:>13.2f}"
            f"{result['peak_mb']:>9,.0f}{loss:>10}{off[0]:>10}{off[1]:>10}",
            flush=True,
        )


def make_rows(prompt: int, count: int) -> list[dict[str, list[int]]]:
    """Rows that share `prompt` tokens; the last third of each suffix is to be learnt."""
    chance = random.Random(0)
    shared = [chance.randrange(3, 4000) for _ in range(prompt)]
    rows = []
    for _ in range(count):
        own = [chance.randrange(3, 4000) for _ in range(SUFFIX)]
        labels = SUFFIX // 3
        mask = [0] * (prompt + SUFFIX - labels) + [1] * labels
        rows.append({"input_ids": shared + own, "completion_mask": mask})
    return rows


def measure(way: str, folder: Path, options: argparse.Namespace) -> dict[str, float]:
    """Train a few steps one way, in this process."""
    sys.path[:0] = [str(ROOT), str(ROOT / "core" / "training")]
    import attention
    import torch
    from datasets import Dataset
    from peft import LoraConfig, get_peft_model
    from rows import FoldRows
    from trainer import TreeTrainer
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM, TrainerCallback
    from trl import SFTConfig, SFTTrainer

    from tests import tiny_model

    tokenizer = AutoTokenizer.from_pretrained(tiny_model.make(folder / f"tokenizer-{way}"))
    attention.register()
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=4096, hidden_size=576, intermediate_size=1536, num_hidden_layers=options.layers,
        num_attention_heads=9, num_key_value_heads=3, max_position_embeddings=8192,
        attn_implementation=attention.NAME if way == "tree" else "sdpa",
    )  # fmt: skip
    model = get_peft_model(
        LlamaForCausalLM(config),
        LoraConfig(r=16, lora_alpha=16, target_modules="all-linear", task_type="CAUSAL_LM", init_lora_weights=False),
    )
    rows = json.loads((folder / "rows.json").read_text())
    longest = len(rows[0]["input_ids"])
    settings: dict[str, Any] = {
        "output_dir": str(folder / "out"), "max_steps": options.steps, "learning_rate": 1e-3, "logging_steps": 1,
        "save_strategy": "no", "report_to": "none", "use_cpu": True, "bf16": False, "disable_tqdm": True,
        "gradient_checkpointing": False, "max_length": None, "per_device_train_batch_size": options.rows, "seed": 1,
    }  # fmt: skip
    if way == "tree":
        data = Dataset.from_list(
            [{"input_ids": row["input_ids"], "labels_from": row["completion_mask"].index(1)} for row in rows]
        )
        settings |= {"remove_unused_columns": False, "dataset_kwargs": {"skip_prepare_dataset": True}}
        kind, extra = TreeTrainer, {"data_collator": FoldRows()}
    else:
        data = Dataset.from_list(rows)
        settings["completion_only_loss"] = True
        if way == "padding-free":
            settings["padding_free"] = True
        if way == "packing":
            settings |= {"packing": True, "max_length": options.rows * longest, "per_device_train_batch_size": 1}
        kind, extra = SFTTrainer, {}
    clock = Clock(folder, way)
    callback = type("Callback", (TrainerCallback,), {name: getattr(clock, name) for name in Clock.hooks})()
    trainer = kind(
        model=model,
        args=SFTConfig(**settings),
        train_dataset=data,
        processing_class=tokenizer,
        callbacks=[callback],
        **extra,
    )
    if way == "tree":
        trainer.way, _ = attention.choose_way("auto", trainer.model.device)
    trainer.train()
    torch.save(parameters(trainer.model), folder / f"{way}-weights.pt")
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"seconds": statistics.median(clock.seconds[1:] or clock.seconds), "loss": losses[0], "peak_mb": peak}


class Clock:
    """Times steps and keeps the first gradient."""

    hooks = ("on_step_begin", "on_step_end", "on_pre_optimizer_step")

    def __init__(self, folder: Path, way: str) -> None:
        self.folder, self.way = folder, way
        self.seconds: list[float] = []

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        self.began = time.perf_counter()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.seconds.append(time.perf_counter() - self.began)

    def on_pre_optimizer_step(self, *_: Any, model: Any, **__: Any) -> None:
        import torch

        if not self.seconds:
            grads = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
            torch.save(grads, self.folder / f"{self.way}-gradient.pt")


def parameters(model: Any) -> dict[str, Any]:
    return {name: p.detach() for name, p in model.named_parameters() if p.requires_grad}


def distance(folder: Path, way: str, what: str) -> str:
    """Relative distance from plain rows, over all adapter weights together."""
    import torch

    one, other = (torch.load(folder / f"{name}-{what}.pt") for name in (way, "plain"))
    apart = sum(float((one[name] - other[name]).pow(2).sum()) for name in other)
    return f"{(apart / sum(float(value.pow(2).sum()) for value in other.values())) ** 0.5:.1e}"


if __name__ == "__main__":
    main()
