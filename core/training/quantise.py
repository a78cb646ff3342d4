"""The quantising program: a smaller copy of a trained model for vLLM. Runs as `python quantise.py config.json` on any machine.

Needs llmcompressor and the files of `bundle.quantising_program()` beside it; nothing else of calmtune. Calibrated on the rows the model
was trained on, which are the prompts it will see: the same beginning in all of them is what a general text would miss.

config.json (paths relative to the working folder or absolute):
    model      folder of a merged model
    rows       JSONL rows it was trained on
    kind       int8 (weights and activations, W8A8) or int4 (weights only, W4A16)
    samples    rows to calibrate with, drawn with the seed
    seed
Leaves quantised/ and quantised.json: SHA-256 of every file, and what it was made from.
"""

from __future__ import annotations

import json
import random
import shutil
import sys
from pathlib import Path
from typing import Any

import torch
from checksums import checksums
from datasets import Dataset
from llmcompressor import oneshot
from llmcompressor.modifiers.gptq import GPTQModifier
from llmcompressor.modifiers.transform.smoothquant import SmoothQuantModifier
from report import log
from rows import RowError, read_rows
from transformers import AutoModelForCausalLM, AutoTokenizer

GROUPS = (128, 64, 32)
"""Weights that share one scale in 4 bits, the best kernels' sizes first; a layer's width must be a multiple."""
SMOOTHING = 0.8
"""How much of the activations' outliers moves into the weights before W8A8, llm-compressor's own value for Llama."""
FOLDER, MANIFEST = Path("quantised"), Path("quantised.json")


def main(config: dict[str, Any]) -> None:
    tokenizer = AutoTokenizer.from_pretrained(config["model"])
    model = AutoModelForCausalLM.from_pretrained(config["model"], dtype="auto")
    rows = read_rows(Path(config["rows"]), tokenizer, model.config.max_position_embeddings)
    chosen = sorted(random.Random(config["seed"]).sample(range(len(rows)), min(config["samples"], len(rows))))
    log(f"{config['kind']}: calibrating on {len(chosen)} of {len(rows)} rows")
    tokens = [rows[at]["input_ids"] for at in chosen]
    oneshot(
        model=model,
        dataset=Dataset.from_list([{"input_ids": row, "attention_mask": [1] * len(row)} for row in tokens]),
        recipe=recipe(config["kind"], widths(model)),
        max_seq_length=max(len(row) for row in tokens),
        num_calibration_samples=len(tokens),
    )
    shutil.rmtree(FOLDER, ignore_errors=True)
    model.save_pretrained(FOLDER, save_compressed=True)
    tokenizer.save_pretrained(FOLDER)
    facts = {"kind": config["kind"], "calibrated_on": len(chosen), "seed": config["seed"]}
    facts["longest_row"] = max(len(row) for row in rows["input_ids"])
    MANIFEST.write_text(json.dumps({"files": checksums(FOLDER), **facts}, indent=1), encoding="utf-8")
    log(f"{config['kind']}: {_megabytes(FOLDER):,.0f} MB, the model has {_megabytes(Path(config['model'])):,.0f} MB")


def widths(model: torch.nn.Module) -> set[int]:
    """Inputs of all linear layers but the last, which stays as it is."""
    return {
        module.in_features
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and not name.endswith("lm_head")
    }


def recipe(kind: str, inputs: set[int]) -> list[Any]:
    """llm-compressor's modifiers. Raises RowError for a model whose layers cannot be cut into groups."""
    if kind == "int8":
        return [
            SmoothQuantModifier(smoothing_strength=SMOOTHING),
            GPTQModifier(targets="Linear", scheme="W8A8", ignore=["lm_head"]),
        ]
    size = next((size for size in GROUPS if not any(width % size for width in inputs)), None)
    if size is None:
        raise RowError(f"layers of width {min(inputs)} cannot be cut into groups of {GROUPS[-1]}; take int8 instead")
    weights = {"num_bits": 4, "type": "int", "symmetric": True, "strategy": "group", "group_size": size}
    log(f"one scale for {size} weights")
    return [GPTQModifier(config_groups={"linear": {"targets": ["Linear"], "weights": weights}}, ignore=["lm_head"])]


def _megabytes(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.glob("*.safetensors")) / 1e6


if __name__ == "__main__":
    try:
        main(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
    except RowError as error:
        log(str(error))
        sys.exit(1)
