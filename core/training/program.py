"""The training program: TRL's SFTTrainer over token trees, with PEFT's LoRA or of all weights. Runs as `python training.pyz BASE_MODEL` on
any machine.

It is the __main__.py of an archive that `archive.write_archive` makes. Needs torch, transformers, trl, peft and datasets; nothing else of
calmtune. In the archive, beside the modules:
    train.jsonl, val.jsonl      rows, {"prompt", "completion"} or {"messages"}; there may be no val.jsonl
    config.json                 name        what the owner calls the base model
                                artifact    merged, or adapter to leave that alone
                                settings    the fields of TrainingSettings (`plan.py` has the units)
                                plan        how it fits the memory: method, micro_rows, checkpointed_layers, sharded; may be missing
Leaves: adapter/ unless all weights are trained, model/ unless the adapter alone is wanted, loss.png, loss.svg, manifest.json, and with
validation rows predictions.jsonl; appends events to $CALMTUNE_EVENTS, one JSON object a line. The weights are those of the step that wrote
most validation rows exactly (then: of the lowest validation loss); what was saved of them is read back before anything is called done. A
run that overfits, diverges or has broken labels is stopped before its end (`early_stop`); a diverged one without a validation to go back to
leaves nothing. Rows are never cut: one that does not fit the model's context is an error that names it. SIGTERM writes a checkpoint and
ends; started again, it goes on from the last checkpoint, or with $CALMTUNE_FINISH set ends there as if that were all.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import sys
import zipfile
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from across_nodes import bring
from checkpoints import FOLDER, BestWeights, why
from checksums import checksum
from early_stop import EarlyStop
from loading import load_model, method_of
from peft import PeftModel
from precision import choose_dtype, describe_device
from predictions import choose_rows, exactly_written, write_predictions
from reload_check import ReloadCheck, ReloadError, load_saved
from report import Report, leads, log, processes
from resume import Checkpoints, Finished, end_with_parent, last_checkpoint
from retry import planned, try_smaller
from rows import RowError, read_rows
from saving import describe_base, plot, save, write_manifest
from self_check import shared_way
from sharded import release
from trainer import make_trainer
from transformers import AutoTokenizer, set_seed
from weights import trained_weights

GIVE_UP = 1
STOPPED = 75
"""Exit code after SIGTERM: not done, but resumable."""


def configuration(archive: Path, model: str) -> dict[str, Any]:
    """What the archive says, with what `main` needs beside it: the base model's folder, the rows and the archive's SHA-256."""
    inside = zipfile.Path(archive)
    val = inside / "val.jsonl"
    told = json.loads((inside / "config.json").read_text(encoding="utf-8"))
    rows = {"train": inside / "train.jsonl", "val": val if val.exists() else None}
    return {**told, **rows, "model": model, "archive": checksum(archive)}


def main(config: dict[str, Any]) -> int:
    log(f"the training archive has SHA-256 {config['archive']}")
    settings, plan = config["settings"], planned(config)
    if method_of(settings, plan) == "qlora" and not torch.cuda.is_available():
        log("QLoRA needs a GPU for weights in 4 bits, and this machine has none; take the method lora or a machine with a GPU")
        return GIVE_UP
    set_seed(settings["seed"])
    tokenizer = AutoTokenizer.from_pretrained(config["model"])
    dtype, reason = choose_dtype(settings["dtype"])
    log(f"computing in {str(dtype).removeprefix('torch.')}: {reason}; {describe_device()}")
    model = load_model(config["model"], settings, plan, dtype)
    own_attention = model.config._attn_implementation
    longest = min(settings["max_length"] or model.config.max_position_embeddings, model.config.max_position_embeddings)
    train = read_rows(config["train"], tokenizer, longest)
    val = read_rows(config["val"], tokenizer, longest) if config["val"] else None
    measured = val
    if val is not None and len(val) > settings["eval_rows"] > 0:
        measured = val.shuffle(seed=settings["seed"]).select(range(settings["eval_rows"]))
    way = shared_way(model, train, settings["attention"], dtype, bool(plan.get("sharded")))
    trainer = make_trainer(model, tokenizer, train, measured, settings, dtype, way, plan)
    bring(FOLDER)
    report, best, early_stop = Report(trainer), BestWeights(len(measured or ())), EarlyStop(settings["early_stop"])
    for callback in (Checkpoints(trainer, config["archive"]), report, best, early_stop):
        trainer.add_callback(callback)
    checkpoint = last_checkpoint()
    if checkpoint:
        log(f"going on from {checkpoint}")
    with suppress(Finished):
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
    check = ReloadCheck(trainer.model, train, own_attention, dtype, method_of(settings, plan) == "qlora")
    weights = trained_weights(trainer.model)
    device = None if plan.get("sharded") else trainer.model.device
    if plan.get("sharded"):
        release(trainer.model)
    if not leads():
        return 0
    base = describe_base(config)
    artifact = save(trainer.model, weights, tokenizer, config, base, dtype)
    trainer.model.to("meta")  # its memory is needed for the saved model
    saved = load_saved(config["model"], dtype, device)
    difference = check.passed_by(saved)
    chosen = {"step": steps, **(asdict(best.standing) if best.standing else {}), "why": reason}
    plot(early_stop.curves, chosen["step"])
    facts = {
        "steps": steps,
        "chosen": chosen,
        "settings": settings,
        "archive": config["archive"],
        "dtype": str(dtype).removeprefix("torch."),
        "longest_row": max(len(row) for rows in (train, val) if rows is not None for row in rows["input_ids"]),
        "reload_difference": difference,
        "unique_token_ratio": trainer.plain_tokens / max(1, trainer.unique_tokens),
    }
    write_manifest(artifact, config, base, facts)
    if val is not None:
        if len(scored) < len(val):
            log(f"predictions are made for {len(scored)} of the {len(val)} validation rows, drawn with the seed")
        plain = saved.get_base_model() if isinstance(saved, PeftModel) else saved
        write_predictions(plain, tokenizer, config["val"], val, scored, exact)
    shutil.rmtree(FOLDER, ignore_errors=True)
    return 0


def _has_learnt(best: BestWeights) -> bool:
    return best.standing is not None and math.isfinite(best.standing.loss)


if __name__ == "__main__":
    if processes() == 1:  # one process with several GPUs would copy the model to each for every batch
        os.environ.setdefault("CUDA_VISIBLE_DEVICES", "0")
    end_with_parent()
    told = configuration(Path(sys.argv[0]), sys.argv[1])
    try:
        code = main(told)
    except (RowError, ReloadError) as error:
        log(str(error))
        code = GIVE_UP
    except torch.OutOfMemoryError as error:
        try_smaller(told, error)
        code = GIVE_UP
    sys.exit(code)
