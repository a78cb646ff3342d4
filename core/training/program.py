"""The training program: TRL's SFTTrainer over token trees, with PEFT's LoRA or of all weights. Runs as `python program.py config.json` on
any machine.

Needs torch, transformers, trl, peft and datasets, and the files of `bundle.training_program()` beside it; nothing else of calmtune.

config.json (all paths relative to the working folder or absolute; see `plan.TrainingSettings` for the units):
    model           folder of the base model
    train, val      JSONL rows, {"prompt", "completion"} or {"messages"}; val may be null
    settings        the fields of TrainingSettings
    plan            how it fits the memory: method, micro_rows, checkpointed_layers, sharded; may be missing
Leaves: model/ (merged), adapter/ unless all weights are trained, loss.png, loss.svg, manifest.json, and with validation rows
predictions.jsonl; appends events to $CALMTUNE_EVENTS, one JSON object a line. The weights are those of the step that wrote most
validation rows exactly (then: of the lowest validation loss). A run that overfits, diverges or has broken labels is stopped before its
end (`early_stop`); a diverged one without a validation to go back to leaves nothing. Rows are never cut: one that does not fit the
model's context is an error that names it. SIGTERM writes a checkpoint and ends; started again, it goes on from the last checkpoint.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from checkpoints import FOLDER, BestWeights, last_checkpoint, why
from early_stop import EarlyStop
from loading import load_model, method_of
from precision import choose_dtype, describe_device
from predictions import choose_rows, exactly_written, write_predictions
from report import Report, leads, log, processes
from retry import planned, try_smaller
from rows import RowError, read_rows
from saving import plot, save_merged, write_manifest
from self_check import shared_way
from sharded import release, spread
from trainer import make_trainer
from transformers import AutoTokenizer, set_seed
from weights import save_whole_model, trained_weights

GIVE_UP = 1
STOPPED = 75
"""Exit code after SIGTERM: not done, but resumable."""


def main(config: dict[str, Any]) -> int:
    settings, plan = config["settings"], planned(config)
    if method_of(settings, plan) == "qlora" and not torch.cuda.is_available():
        log("QLoRA needs a GPU for weights in 4 bits, and this machine has none; take the method lora or a machine with a GPU")
        return GIVE_UP
    set_seed(settings["seed"])
    tokenizer = AutoTokenizer.from_pretrained(config["model"])
    dtype, reason = choose_dtype(settings["dtype"])
    log(f"computing in {str(dtype).removeprefix('torch.')}: {reason}; {describe_device()}")
    model = load_model(config["model"], settings, plan, dtype)
    longest = min(settings["max_length"] or model.config.max_position_embeddings, model.config.max_position_embeddings)
    train = read_rows(config["train"], tokenizer, longest)
    val = read_rows(config["val"], tokenizer, longest) if config.get("val") else None
    measured = val
    if val is not None and len(val) > settings["eval_rows"] > 0:
        measured = val.shuffle(seed=settings["seed"]).select(range(settings["eval_rows"]))
    way = shared_way(model, train, settings["attention"], dtype, bool(plan.get("sharded")))
    trainer = make_trainer(model, tokenizer, train, measured, settings, dtype, way, plan)
    report, best, early_stop = Report(trainer), BestWeights(), EarlyStop(settings["early_stop"])
    for callback in (report, best, early_stop):
        trainer.add_callback(callback)
    checkpoint = last_checkpoint()
    if checkpoint:
        log(f"going on from {checkpoint}")
    trainer.train(resume_from_checkpoint=checkpoint)
    if report.stopped:
        log("stopped; started again, training goes on from the last checkpoint")
        return STOPPED
    stopped_by = early_stop.stopped_by
    if stopped_by is not None and stopped_by.state != "overfitting" and not _has_learnt(best):
        log(f"training failed ({stopped_by}); there is no earlier validation to go back to")
        return GIVE_UP
    history, steps = trainer.state.log_history, trainer.state.global_step
    reason = why(best.standing, history, steps)
    log(reason)
    if best.standing is not None:
        best.load_into(trainer.model)
    scored = choose_rows(len(val), settings["scored_rows"], settings["seed"]) if val is not None else []
    exact = exactly_written(trainer, val.select(scored)) if val is not None else []
    weights = trained_weights(trainer.model)
    if plan.get("sharded"):
        release(trainer.model)
    if not leads():
        return 0
    if method_of(settings, plan) == "full":
        saved = save_whole_model(weights, tokenizer, config["model"], dtype)
    else:
        saved = save_merged(trainer.model, weights, tokenizer, config["model"], dtype)
    chosen = {"step": steps, **(asdict(best.standing) if best.standing else {}), "why": reason}
    plot(early_stop.curves, chosen["step"])
    facts = {
        "steps": steps,
        "chosen": chosen,
        "settings": settings,
        "unique_token_ratio": trainer.plain_tokens / max(1, trainer.unique_tokens),
    }
    write_manifest(Path("model"), facts)
    if val is not None:
        if len(scored) < len(val):
            log(f"predictions are made for {len(scored)} of the {len(val)} validation rows, drawn with the seed")
        if plan.get("sharded"):
            saved = spread("model", dtype)
        else:
            device = trainer.model.device
            trainer.model.to("meta")  # its memory is needed for the model that was saved
            saved = saved.to(device)
        write_predictions(saved, tokenizer, config["val"], val, scored, exact)
    shutil.rmtree(FOLDER, ignore_errors=True)
    return 0


def _has_learnt(best: BestWeights) -> bool:
    return best.standing is not None and math.isfinite(best.standing.loss)


if __name__ == "__main__":
    if processes() == 1:  # one process with several GPUs would copy the model to each for every batch
        os.environ.setdefault("CUDA_VISIBLE_DEVICES", "0")
    told = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    try:
        code = main(told)
    except RowError as error:
        log(str(error))
        code = GIVE_UP
    except torch.OutOfMemoryError as error:
        try_smaller(told, error)
        code = GIVE_UP
    sys.exit(code)
