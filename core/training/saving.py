"""What a run leaves: an adapter, a whole model or both, a manifest and a picture of the loss."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from checksums import checksum, checksums
from peft import PeftModel
from report import log
from transformers import AutoModelForCausalLM
from weights import put_weights

from core.training.metrics import Curves, averaged

ADAPTER, MODEL, MANIFEST = Path("adapter"), Path("model"), Path("manifest.json")
BASE = ADAPTER / "base_model.json"
"""Which base model an adapter is for, so that whoever serves it can tell another one."""
_BASE_FILES = ("config.json", "*.safetensors.index.json", "*.safetensors")


def describe_base(config: dict[str, Any]) -> dict[str, Any]:
    """The base model's name as its owner gave it, and the SHA-256 of its configuration and weights. `config` is the run's."""
    folder = Path(config["model"])
    files = {path.name: checksum(path) for kind in _BASE_FILES for path in sorted(folder.glob(kind))}
    return {"name": config["name"], "files": files}


def save(
    model: Any,
    weights: dict[str, torch.Tensor],
    tokenizer: Any,
    config: dict[str, Any],
    base: dict[str, Any],
    dtype: torch.dtype,
) -> Path:
    """Save what was trained; returns the folder of the artifact. `weights` are the trained ones of `model`, which may be gone from it.

    `config` is the run's, `base` what `describe_base` says of its base model. A model without an adapter is saved as a whole. An adapter is
    always left, and the merged model in `dtype` beside it if that is wanted.
    """
    for folder in (ADAPTER, MODEL):
        shutil.rmtree(folder, ignore_errors=True)
    MANIFEST.unlink(missing_ok=True)
    adapter = isinstance(model, PeftModel)
    if adapter:
        save_adapter(model, weights, tokenizer, base)
        if config["artifact"] == "adapter":
            return ADAPTER
        log("merging the adapter into the base model")
    whole = AutoModelForCausalLM.from_pretrained(config["model"], dtype=torch.float32)
    if adapter:
        whole = PeftModel.from_pretrained(whole, ADAPTER).merge_and_unload()
    else:
        put_weights(weights, whole)
    whole.to(dtype).save_pretrained(MODEL)
    tokenizer.save_pretrained(MODEL)
    return MODEL


def save_adapter(model: Any, weights: dict[str, torch.Tensor], tokenizer: Any, base: dict[str, Any]) -> None:
    """Save adapter and tokenizer so that they can be taken elsewhere: the base model goes by its name, not by its folder here."""
    model.save_pretrained(ADAPTER, state_dict=weights)
    (ADAPTER / "README.md").unlink(missing_ok=True)  # names the base model's folder here
    path = ADAPTER / "adapter_config.json"
    body = {**json.loads(path.read_text(encoding="utf-8")), "base_model_name_or_path": base["name"]}
    path.write_text(json.dumps(body, indent=2, sort_keys=True), encoding="utf-8")
    BASE.write_text(json.dumps(base, indent=1), encoding="utf-8")
    tokenizer.save_pretrained(ADAPTER)


def write_manifest(artifact: Path, config: dict[str, Any], base: dict[str, Any], facts: dict[str, Any]) -> None:
    """SHA-256 of every file of the artifact, of the rows and of the base model, with what is known of the run."""
    body = {
        "artifact": "adapter" if artifact == ADAPTER else "merged",
        "folders": [folder.name for folder in (MODEL, ADAPTER) if folder.is_dir()],
        "files": checksums(artifact),
        "base": base,
        "rows": {side: _described(config[side]) if config.get(side) else None for side in ("train", "val")},
        **facts,
    }
    MANIFEST.write_text(json.dumps(body, indent=1), encoding="utf-8")


def _described(rows: Any) -> dict[str, Any]:
    with rows.open("rb") as file:
        return {"count": sum(1 for _ in file), "sha256": checksum(rows)}


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
