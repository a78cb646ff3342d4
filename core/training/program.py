"""The training program: TRL's SFTTrainer with PEFT's LoRA, over token trees. Runs as `python program.py config.json` on any machine.

Needs torch, transformers, trl, peft and datasets, and the files of `bundle.training_program()` beside it; nothing else of calmtune.

config.json (all paths relative to the working folder or absolute; see `plan.TrainingSettings` for the units):
    model           folder of the base model
    train, val      JSONL rows, {"prompt", "completion"} or {"messages"}; val may be null
    settings        the fields of TrainingSettings
Leaves: adapter/, model/ (merged), loss.png, manifest.json, and with validation rows predictions.jsonl; appends events to $CALMTUNE_EVENTS,
one JSON object a line. The weights are those of the step that wrote most validation rows exactly (then: of the lowest validation loss).
Rows are never cut: one that does not fit the model's context is an error that names it. SIGTERM writes a checkpoint and ends; started
again, it goes on from the last checkpoint.
"""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import attention
import torch
from checkpoints import FOLDER, BestAdapter, last_checkpoint, why
from datasets import Dataset
from peft import LoraConfig, get_peft_model
from precision import choose_dtype, describe_device
from predictions import choose_rows, exactly_written, write_predictions
from report import Report, log
from rows import RowError, read_rows
from saving import plot, save_merged, write_manifest
from self_check import ROWS, differs
from trainer import make_trainer
from transformers import AutoModelForCausalLM, AutoTokenizer, set_seed

GIVE_UP = 1
STOPPED = 75
"""Exit code after SIGTERM: not done, but resumable."""


def main(config: dict[str, Any]) -> int:
    settings = config["settings"]
    set_seed(settings["seed"])
    tokenizer = AutoTokenizer.from_pretrained(config["model"])
    dtype, reason = choose_dtype(settings["dtype"])
    log(f"computing in {str(dtype).removeprefix('torch.')}: {reason}; {describe_device()}")
    model = AutoModelForCausalLM.from_pretrained(config["model"], dtype=dtype)
    longest = min(settings["max_length"] or model.config.max_position_embeddings, model.config.max_position_embeddings)
    train = read_rows(config["train"], tokenizer, longest)
    val = read_rows(config["val"], tokenizer, longest) if config.get("val") else None
    measured = val
    if val is not None and len(val) > settings["eval_rows"] > 0:
        measured = val.shuffle(seed=settings["seed"]).select(range(settings["eval_rows"]))
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
    way = shared_way(model, train, settings["attention"], dtype)
    trainer = make_trainer(model, tokenizer, train, measured, settings, dtype, way)
    report, best = Report(trainer), BestAdapter()
    trainer.add_callback(report)
    trainer.add_callback(best)
    checkpoint = last_checkpoint()
    if checkpoint:
        log(f"going on from {checkpoint}")
    trainer.train(resume_from_checkpoint=checkpoint)
    if report.stopped:
        log("stopped; started again, training goes on from the last checkpoint")
        return STOPPED
    history, steps = trainer.state.log_history, trainer.state.global_step
    reason = why(best.standing, history, steps)
    log(reason)
    if best.standing is not None:
        best.load_into(trainer.model)
    scored = choose_rows(len(val), settings["scored_rows"], settings["seed"]) if val is not None else []
    exact = exactly_written(trainer, val.select(scored)) if val is not None else []
    merged = save_merged(trainer.model, tokenizer, config["model"], dtype)
    plot(history)
    facts = {
        "steps": steps,
        "chosen": {"step": steps, **(asdict(best.standing) if best.standing else {}), "why": reason},
        "settings": settings,
        "unique_token_ratio": trainer.plain_tokens / max(1, trainer.unique_tokens),
    }
    write_manifest(Path("model"), facts)
    if val is not None:
        if len(scored) < len(val):
            log(f"predictions are made for {len(scored)} of the {len(val)} validation rows, drawn with the seed")
        device = trainer.model.device
        trainer.model.to("meta")  # its memory is needed for the merged model
        write_predictions(merged.to(device), tokenizer, config["val"], val, scored, exact)
    shutil.rmtree(FOLDER, ignore_errors=True)
    return 0


def shared_way(model: Any, train: Dataset, asked: str, dtype: torch.dtype) -> str | None:
    """How shared prefixes are computed once here: a name of `attention.WAYS`. None, with the reason told, when they cannot be, and
    rows are trained one by one."""
    own = model.config._attn_implementation
    obstacle = None
    try:
        way, reason = attention.choose_way(asked, model.device)
    except ValueError as error:
        obstacle = str(error)
    else:
        attention.register()
        log(f"attention over shared prefixes by {way}: {reason}")
        obstacle = differs(model, [train[number] for number in range(min(ROWS, len(train)))], way, dtype)
    if obstacle is None:
        return way
    log(f"{obstacle}; rows are trained one by one, which is slower and the same otherwise")
    model.set_attn_implementation(own)
    return None


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
