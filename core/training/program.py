"""The training program: TRL's SFTTrainer with PEFT's LoRA, over token trees. Runs as `python program.py config.json` on any machine.

Needs torch, transformers, trl, peft and datasets, and the files tree.py and attention.py beside it; nothing else of calmtune.

config.json (all paths relative to the working folder or absolute; see `plan.TrainingSettings` for the units):
    model           folder of the base model
    train, val      JSONL rows, {"prompt", "completion"} or {"messages"}; val may be null
    settings        the fields of TrainingSettings
Leaves: adapter/, model/ (merged), checkpoints/, loss.png, manifest.json; appends events to $CALMTUNE_EVENTS, one JSON object a line.
Rows are never cut: one that does not fit the model's context is an error that names it. SIGTERM writes a checkpoint and ends; started
again, it goes on from the last checkpoint.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any

import attention
import torch
import tree
from datasets import Dataset
from peft import LoraConfig, PeftModel, get_peft_model
from peft.helpers import disable_input_dtype_casting
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    TrainerCallback,
    set_seed,
)
from trl import SFTConfig, SFTTrainer

GIVE_UP = 1
STOPPED = 75
"""Exit code after SIGTERM: not done, but resumable."""


class RowError(Exception):
    """A row that cannot be trained on; a sentence naming it."""


def emit(kind: str, **body: Any) -> None:
    """Append one event; whole lines only, so that readers may follow."""
    line = json.dumps({"type": kind, "time": time.time(), **body}) + "\n"
    with open(os.environ.get("CALMTUNE_EVENTS", "events.jsonl"), "ab") as file:
        file.write(line.encode())


def log(text: str) -> None:
    print(text, flush=True)
    emit("log", line=text)


# Rows


def read_rows(path: str, tokenizer: Any, longest: int) -> Dataset:
    """Rows as token ids with the index of their first label. Raises RowError for one that is too long or has no completion."""
    found = []
    for number, line in enumerate(Path(path).read_text(encoding="utf-8").splitlines(), 1):
        body = json.loads(line)
        messages = body.get("messages") or [
            {"role": "user", "content": body["prompt"]},
            {"role": "assistant", "content": body["completion"]},
        ]
        prompt = tokenizer.apply_chat_template(
            messages[:-1], add_generation_prompt=True, tokenize=True, return_dict=False
        )
        answer = tokenizer(messages[-1]["content"], add_special_tokens=False)["input_ids"] + [tokenizer.eos_token_id]
        tokens = [*prompt, *answer]
        name = body.get("original_test_name", messages[-2]["content"][-60:])
        if len(tokens) > longest:
            raise RowError(
                f"{path}:{number}: the row ({name}) has {len(tokens)} tokens, the model reads {longest}; "
                "shorten the history shown in prompts or take a model with a longer context"
            )
        found.append({"input_ids": tokens, "labels_from": len(prompt)})
    if not found:
        raise RowError(f"{path} holds no rows")
    return Dataset.from_list(found)


class FoldRows:
    """Collator: the rows of a batch as one tree."""

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        folded = tree.fold([tree.Row(row["input_ids"], row["labels_from"]) for row in rows])
        return {
            "input_ids": torch.tensor([folded.tokens]),
            "position_ids": torch.tensor([folded.positions]),
            "label_nodes": torch.tensor(folded.label_nodes),
            "labels": torch.tensor(folded.labels),
            "segments": folded.segments,
            "plain_tokens": folded.plain_tokens,
        }


# The trainer


class TreeTrainer(SFTTrainer):
    """SFTTrainer whose loss comes from one forward pass over a tree; logits are computed at labels only."""

    unique_tokens = 0
    plain_tokens = 0

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Sum over labels divided by their number in the optimizer step."""
        if self.model.training:
            self.unique_tokens += inputs["input_ids"].shape[1]
            self.plain_tokens += inputs["plain_tokens"]
        total = tree_loss(self.model, inputs, self.args.bf16)
        count = num_items_in_batch if num_items_in_batch is not None else inputs["labels"].numel()
        loss = total / count
        return (loss, {}) if return_outputs else loss

    def prediction_step(self, model: Any, inputs: Any, prediction_loss_only: bool, ignore_keys: Any = None) -> Any:
        with torch.no_grad():
            loss = self.compute_loss(model, self._prepare_inputs(inputs))
        return loss.detach(), None, None


def tree_loss(model: Any, inputs: dict[str, Any], mixed: bool = False) -> torch.Tensor:
    """Negative log likelihood of all labels of a folded batch, summed; `mixed` computes products in bfloat16."""
    base = model.get_base_model()
    device = inputs["input_ids"].device
    layout = attention.layout(inputs["segments"], device)
    with torch.autocast(device.type, torch.bfloat16, enabled=mixed), disable_input_dtype_casting(model):
        states = base.get_decoder()(
            input_ids=inputs["input_ids"], position_ids=inputs["position_ids"], tree_layout=layout, use_cache=False
        ).last_hidden_state[0]
        logits = base.get_output_embeddings()(states[inputs["label_nodes"]])
    return torch.nn.functional.cross_entropy(logits.float(), inputs["labels"], reduction="sum")


def check_against_plain_rows(model: Any, rows: list[dict[str, Any]], mixed: bool) -> tuple[float, float]:
    """(relative difference of the loss, of the adapter's gradient) between a tree of some rows and the rows one by one."""

    def gradient() -> torch.Tensor:
        parts = [p.grad.detach().float().flatten() for p in model.parameters() if p.grad is not None]
        model.zero_grad()
        return torch.cat(parts)

    collate = FoldRows()
    together = tree_loss(model, collate(rows), mixed)
    together.backward()
    folded = gradient()
    apart = 0.0
    for row in rows:
        loss = tree_loss(model, collate([row]), mixed)
        loss.backward()
        apart += float(loss.detach())
    plain = gradient()
    return abs(float(together.detach()) - apart) / abs(apart), float(
        (folded - plain).norm() / plain.norm().clamp_min(1e-12)
    )


class Report(TrainerCallback):
    """Events for whoever follows, a clean stop on SIGTERM, an end at the time limit of tests."""

    def __init__(self, trainer: TreeTrainer) -> None:
        self._trainer = trainer
        self._began = time.monotonic()
        self.stopped = False
        signal.signal(signal.SIGTERM, self._stop)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self.stopped = True

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        spent = time.monotonic() - self._began
        left = spent / max(1, state.global_step - self._first) * (state.max_steps - state.global_step)
        emit("progress", done=state.global_step, total=state.max_steps, unit="steps", eta_seconds=left)
        if self.stopped:
            control.should_save = control.should_training_stop = True

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._began, self._first = time.monotonic(), state.global_step

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
        values = {
            k: v for k, v in (logs or {}).items() if k in ("loss", "eval_loss", "learning_rate", "grad_norm", "epoch")
        }
        if not values or "train_runtime" in (logs or {}):
            return
        spent = max(1e-9, time.monotonic() - self._began)
        if "loss" in values:
            values["tokens_per_second"] = self._trainer.plain_tokens / spent
            values["unique_token_ratio"] = self._trainer.plain_tokens / max(1, self._trainer.unique_tokens)
        emit("metric", step=state.global_step, values=values)


# Machine


def choose_dtype(asked: str) -> tuple[torch.dtype, str]:
    """The precision to compute in, with the reason."""
    if asked != "auto":
        return {"float32": torch.float32, "bfloat16": torch.bfloat16}[asked], "as asked"
    if torch.cuda.is_available():
        native = torch.cuda.is_bf16_supported()
        return (
            (torch.bfloat16, "the GPU computes it natively") if native else (torch.float32, "the GPU has no bfloat16")
        )
    seconds = {dtype: _product_seconds(dtype) for dtype in (torch.float32, torch.bfloat16)}
    faster = min(seconds, key=seconds.__getitem__)
    ratio = max(seconds.values()) / min(seconds.values())
    return faster, f"measured {ratio:.1f} times as fast as the other on this CPU"


def _product_seconds(dtype: torch.dtype) -> float:
    one, other = torch.randn(1024, 576, dtype=dtype), torch.randn(576, 1536, dtype=dtype)
    best = float("inf")
    for _ in range(5):
        began = time.perf_counter()
        one @ other
        best = min(best, time.perf_counter() - began)
    return best


# The run


def main(config: dict[str, Any]) -> int:
    settings = config["settings"]
    set_seed(settings["seed"])
    tokenizer = AutoTokenizer.from_pretrained(config["model"])
    dtype, why = choose_dtype(settings["dtype"])
    log(f"computing in {str(dtype).removeprefix('torch.')}: {why}; {_device()}")
    attention.register()
    model = AutoModelForCausalLM.from_pretrained(config["model"], dtype=dtype, attn_implementation=attention.NAME)
    longest = min(settings["max_length"] or model.config.max_position_embeddings, model.config.max_position_embeddings)
    train = read_rows(config["train"], tokenizer, longest)
    val = read_rows(config["val"], tokenizer, longest) if config.get("val") else None
    if val is not None and len(val) > settings["eval_rows"] > 0:
        val = val.shuffle(seed=settings["seed"]).select(range(settings["eval_rows"]))
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
    trainer = _trainer(model, tokenizer, train, val, settings, dtype)
    report = Report(trainer)
    trainer.add_callback(report)
    if not _self_check(trainer, train):
        return GIVE_UP
    checkpoint = _last_checkpoint(Path("checkpoints"))
    if checkpoint:
        log(f"going on from {checkpoint}")
    trainer.train(resume_from_checkpoint=checkpoint)
    if report.stopped:
        log("stopped; started again, training goes on from the last checkpoint")
        return STOPPED
    _save(trainer, tokenizer, config["model"], dtype)
    _plot(trainer.state.log_history)
    _write_manifest(Path("model"), trainer, settings)
    shutil.rmtree("checkpoints", ignore_errors=True)
    return 0


def _trainer(
    model: Any, tokenizer: Any, train: Dataset, val: Dataset | None, settings: dict[str, Any], dtype: Any
) -> TreeTrainer:
    rows = settings["rows_per_step"]
    steps = max(1, round(settings["epochs"] * len(train) / rows))
    every = max(1, steps // settings["evaluations"]) if val is not None else 0
    log(f"{len(train)} rows, {rows} a step, {steps} steps" + (f", validation every {every} steps" if every else ""))
    arguments = SFTConfig(
        output_dir="checkpoints",
        per_device_train_batch_size=rows,
        per_device_eval_batch_size=rows,
        max_steps=steps,
        learning_rate=settings["learning_rate"],
        lr_scheduler_type=settings["schedule"],
        warmup_steps=round(settings["warmup_share"] * steps),
        weight_decay=settings["weight_decay"],
        max_grad_norm=settings["max_grad_norm"],
        logging_steps=max(1, steps // 60),
        eval_strategy="steps" if every else "no",
        eval_steps=every or None,
        save_strategy="steps",
        save_steps=max(1, steps // settings["checkpoints"]),
        save_total_limit=1,
        bf16=dtype is torch.bfloat16,
        use_cpu=not torch.cuda.is_available(),
        gradient_checkpointing=torch.cuda.is_available(),
        max_length=None,
        remove_unused_columns=False,
        dataset_kwargs={"skip_prepare_dataset": True},
        report_to="none",
        seed=settings["seed"],
        data_seed=settings["seed"],
        disable_tqdm=True,
        dataloader_pin_memory=torch.cuda.is_available(),
    )
    return TreeTrainer(
        model=model,
        args=arguments,
        train_dataset=train,
        eval_dataset=val,
        processing_class=tokenizer,
        data_collator=FoldRows(),
    )


def _self_check(trainer: TreeTrainer, train: Dataset) -> bool:
    """Shared-prefix training must have the plain rows' gradient; checked on three rows before anything else."""
    rows = [train[number] for number in range(min(3, len(train)))]
    loss, gradient = check_against_plain_rows(trainer.model, rows, trainer.args.bf16)
    tolerance = 0.05 if trainer.args.bf16 else 1e-3
    log(f"shared prefixes against plain rows: loss differs by {loss:.1e}, gradient by {gradient:.1e}")
    if loss < tolerance and gradient < 4 * tolerance:
        return True
    log("the shared computation does not agree with the plain rows on this machine; nothing was trained")
    return False


def _last_checkpoint(folder: Path) -> str | None:
    """The newest complete checkpoint; the trainer writes trainer_state.json last."""
    found = [path for path in folder.glob("checkpoint-*") if (path / "trainer_state.json").is_file()]
    return str(max(found, key=lambda path: int(path.name.split("-")[1]))) if found else None


def _save(trainer: TreeTrainer, tokenizer: Any, base: str, dtype: torch.dtype) -> None:
    """The adapter, and the base model with the adapter merged in, ready to be served."""
    for name in ("adapter", "model"):
        shutil.rmtree(name, ignore_errors=True)
    trainer.model.save_pretrained("adapter")
    log("merging the adapter into the base model")
    plain = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    merged = PeftModel.from_pretrained(plain, "adapter").merge_and_unload()
    merged.to(dtype).save_pretrained("model")
    tokenizer.save_pretrained("model")


def _write_manifest(folder: Path, trainer: TreeTrainer, settings: dict[str, Any]) -> None:
    """SHA-256 of every file of the model, with what it was made from."""
    files = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            with path.open("rb") as file:
                files[path.relative_to(folder).as_posix()] = hashlib.file_digest(file, "sha256").hexdigest()
    body = {
        "files": files,
        "steps": trainer.state.global_step,
        "settings": settings,
        "unique_token_ratio": trainer.plain_tokens / max(1, trainer.unique_tokens),
    }
    Path("manifest.json").write_text(json.dumps(body, indent=1), encoding="utf-8")


def _plot(history: list[dict[str, Any]]) -> None:
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.add_subplot()
    for name, label in (("loss", "training"), ("eval_loss", "validation")):
        points = [(entry["step"], entry[name]) for entry in history if name in entry]
        if points:
            axes.plot(*zip(*points, strict=True), label=label, marker="." if name == "eval_loss" else None)
    axes.set_xlabel("step")
    axes.set_ylabel("loss")
    axes.set_yscale("log")
    axes.legend()
    figure.savefig("loss.png", dpi=120)


def _device() -> str:
    if torch.cuda.is_available():
        return str(torch.cuda.get_device_name())
    return f"no GPU found, {torch.get_num_threads()} CPU threads"


if __name__ == "__main__":
    try:
        code = main(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
    except RowError as error:
        log(str(error))
        code = GIVE_UP
    except torch.OutOfMemoryError:
        log("the GPU's memory is too small for this step; take fewer rows a step or a smaller model")
        code = GIVE_UP
    sys.exit(code)
