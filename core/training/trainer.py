"""TRL's SFTTrainer over token trees: loss, and at validation how many rows greedy decoding would write exactly.

Decoding writes a reference exactly if and only if at each of its labels, the end of the row included, the label is the likeliest token
behind the reference's own beginning. Those logits are what validation loss is made of, so exact match costs no generation.
"""

from __future__ import annotations

from typing import Any

import attention
import sharded
import torch
from datasets import Dataset
from peft.helpers import disable_input_dtype_casting
from report import log, processes
from rows import FoldRows, RowError
from transformers import EvalPrediction
from trl import SFTConfig, SFTTrainer


class TreeTrainer(SFTTrainer):
    """SFTTrainer whose loss comes from one forward pass over a tree; logits are computed at labels only.

    With `way` None every batch is one row, which the model's own attention computes: plain rows, without padding.
    """

    unique_tokens = 0
    plain_tokens = 0
    way: str | None = None

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Sum over labels divided by their number in the optimizer step, over all processes."""
        if self.model.training:
            self.unique_tokens += inputs["input_ids"].shape[1]
            self.plain_tokens += inputs["plain_tokens"]
        total = summed_loss(model, inputs, self.way, self.args.bf16)
        count = num_items_in_batch if num_items_in_batch is not None else inputs["labels"].numel()
        loss = total / count * self.accelerator.num_processes  # gradients are averaged over processes
        return (loss, {}) if return_outputs else loss

    def prediction_step(self, model: Any, inputs: Any, prediction_loss_only: bool, ignore_keys: Any = None) -> Any:
        """(mean loss of the labels, right labels of each row [rows], labels of each row [rows])."""
        inputs = self._prepare_inputs(inputs)
        with torch.no_grad():
            logits = label_logits(model, inputs, self.way, self.args.bf16)
            loss = torch.nn.functional.cross_entropy(logits, inputs["labels"])
        return loss, right_labels(logits, inputs["labels"], inputs["row_labels"]), inputs["row_labels"]


def label_logits(model: Any, inputs: dict[str, Any], way: str | None, mixed: bool = False) -> torch.Tensor:
    """Logits at the labels of a folded batch, in float32 [labels, vocabulary]; `mixed` computes products in bfloat16.

    `way` is one of `attention.WAYS`; with None the batch is a single row, and the model's own attention is left to it.
    """
    device = inputs["input_ids"].device
    layout = {"tree_layout": attention.WAYS[way](inputs["segments"], device)} if way else {}
    with torch.autocast(device.type, torch.bfloat16, enabled=mixed), disable_input_dtype_casting(model):
        found = model(
            input_ids=inputs["input_ids"],
            position_ids=inputs["position_ids"],
            logits_to_keep=inputs["label_nodes"],
            use_cache=False,
            **layout,
        )
    return found.logits[0].float()


def summed_loss(model: Any, inputs: dict[str, Any], way: str | None, mixed: bool = False) -> torch.Tensor:
    """Negative log likelihood of all labels of a folded batch, summed."""
    logits = label_logits(model, inputs, way, mixed)
    return torch.nn.functional.cross_entropy(logits, inputs["labels"], reduction="sum")


def right_labels(logits: torch.Tensor, labels: torch.Tensor, row_labels: torch.Tensor) -> torch.Tensor:
    """How many labels of each row are the likeliest token; of tokens equally likely the first counts, as in decoding [rows]."""
    right = logits.argmax(-1) == labels
    return torch.stack([of_row.sum() for of_row in right.split(row_labels.tolist())])


def match(prediction: EvalPrediction) -> dict[str, float]:
    """Share of rows that would be written exactly, and of labels that are right, from what `prediction_step` gives."""
    right, labels = prediction.predictions, prediction.label_ids
    return {"exact_match": float((right == labels).mean()), "token_accuracy": float(right.sum() / labels.sum())}


def make_trainer(
    model: Any,
    tokenizer: Any,
    train: Dataset,
    val: Dataset | None,
    settings: dict[str, Any],
    dtype: torch.dtype,
    way: str | None,
    plan: dict[str, Any],
) -> TreeTrainer:
    """The trainer of a run; says how many rows and steps it has. `way` as in `TreeTrainer`; of `plan`, `micro_rows` is the most rows of one
    forward pass, by default all that a process has of a step, and `sharded` says whether the weights are shared out among processes."""
    rows = settings["rows_per_step"]
    micro = micro_batch(rows, plan.get("micro_rows"), processes()) if way else 1
    steps = max(1, round(settings["epochs"] * len(train) / rows))
    every = max(1, steps // settings["evaluations"]) if val is not None else 0
    log(f"{len(train)} rows, {rows} a step, {steps} steps" + (f", validation every {every} steps" if every else ""))
    arguments = SFTConfig(
        output_dir="checkpoints",
        per_device_train_batch_size=micro,
        per_device_eval_batch_size=micro,
        gradient_accumulation_steps=rows // (micro * processes()),
        max_steps=steps,
        learning_rate=settings["learning_rate"],
        lr_scheduler_type=settings["schedule"],
        warmup_steps=round(settings["warmup_share"] * steps),
        weight_decay=settings["weight_decay"],
        max_grad_norm=settings["max_grad_norm"],
        logging_steps=max(1, steps // 60),
        logging_first_step=True,  # the loss before anything is learnt shows broken labels
        logging_nan_inf_filter=False,  # else a NaN is told as the average of earlier losses
        eval_strategy="steps" if every else "no",
        eval_steps=every or None,
        save_strategy="steps",
        save_steps=max(1, steps // settings["checkpoints"]),
        save_total_limit=None,  # `resume` removes earlier ones, once the new one is whole
        bf16=dtype is torch.bfloat16,
        use_cpu=not torch.cuda.is_available(),
        gradient_checkpointing=False,  # as the plan says, in `loading`
        max_length=None,
        remove_unused_columns=False,
        dataset_kwargs={"skip_prepare_dataset": True},
        report_to="none",
        seed=settings["seed"],
        data_seed=settings["seed"],
        disable_tqdm=True,
        ddp_find_unused_parameters=False if processes() > 1 else None,
        dataloader_pin_memory=torch.cuda.is_available(),
        **(sharded.arguments() if plan.get("sharded") else {}),
    )
    trainer = TreeTrainer(
        model=model,
        args=arguments,
        train_dataset=train,
        eval_dataset=val,
        processing_class=tokenizer,
        data_collator=FoldRows(),
        compute_metrics=match,
    )
    trainer.way = way
    if plan.get("sharded"):
        sharded.keep_precision(trainer.accelerator, dtype)
        log(f"weights are shared out among {processes()} GPUs")
    return trainer


def micro_batch(rows: int, most: int | None, world: int) -> int:
    """Rows of one forward pass in each process: the largest share of a step that is not above `most`.

    Raises RowError when a step's rows cannot be shared out evenly.
    """
    share, rest = divmod(rows, world)
    if rest or not share:
        raise RowError(f"{rows} rows a step cannot be shared out among {world} processes; take a multiple of {world}")
    return next(size for size in range(min(share, most or share), 0, -1) if share % size == 0)
