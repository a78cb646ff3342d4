"""What a run leaves: the adapter, the model with the adapter merged in, its manifest and a picture of the loss."""

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


def save_merged(model: Any, tokenizer: Any, base: str, dtype: torch.dtype) -> Any:
    """Save the adapter, and the base model with it merged in, ready to be served; returns the merged model."""
    for name in ("adapter", "model"):
        shutil.rmtree(name, ignore_errors=True)
    model.save_pretrained("adapter")
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


def plot(history: list[dict[str, Any]]) -> None:
    """Draw training and validation loss into loss.png, where matplotlib is installed."""
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
