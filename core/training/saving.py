"""What a run leaves: the adapter if there is one, the model with all that was learnt, its manifest and a picture of the loss."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from report import log
from transformers import AutoModelForCausalLM

from core.training.metrics import Curves, averaged


def save_merged(model: Any, weights: dict[str, torch.Tensor], tokenizer: Any, base: str, dtype: torch.dtype) -> Any:
    """Save the adapter (`weights`), and the base model with it merged in, ready to be served; returns the merged model."""
    for name in ("adapter", "model"):
        shutil.rmtree(name, ignore_errors=True)
    model.save_pretrained("adapter", state_dict=weights)
    log("merging the adapter into the base model")
    plain = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    merged = PeftModel.from_pretrained(plain, "adapter").merge_and_unload().to(dtype)
    merged.save_pretrained("model")
    tokenizer.save_pretrained("model")
    return merged


def write_manifest(folder: Path, facts: dict[str, Any]) -> None:
    """SHA-256 of every file of the model, with what it was made from."""
    files = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            with path.open("rb") as file:
                files[path.relative_to(folder).as_posix()] = hashlib.file_digest(file, "sha256").hexdigest()
    Path("manifest.json").write_text(json.dumps({"files": files, **facts}, indent=1), encoding="utf-8")


def plot(curves: Curves, chosen: int) -> None:
    """Draw the losses into loss.png and loss.svg, where matplotlib is installed; `chosen` is the step whose weights are taken."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.add_subplot()
    steps, losses = zip(*curves.train, strict=True) if curves.train else ((), ())
    axes.plot(steps, losses, ".", color="tab:blue", alpha=0.35, label="training")
    axes.plot(steps, averaged(losses), color="tab:blue", label="training, averaged")
    if curves.validation:
        axes.plot(*zip(*curves.validation, strict=True), color="tab:orange", marker="o", label="validation")
        axes.axvline(chosen, color="tab:green", linestyle=":", label=f"taken: step {chosen}")
    axes.set_xlabel("step")
    axes.set_ylabel("loss")
    axes.set_yscale("log")
    axes.legend()
    for kind in ("png", "svg"):
        figure.savefig(f"loss.{kind}", dpi=120)
