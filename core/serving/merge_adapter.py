"""Merges an adapter into its base model and becomes the program that serves the result; needs torch, transformers and peft only.

    python merge_adapter.py BASE ADAPTER INTO PROGRAM ARGUMENTS…

`transformers serve` knows no adapters. The merged model has the base model's own precision and the adapter's tokenizer; it is made at each
start, so that it is never that of another adapter. PROGRAM is looked for beside this interpreter when it is no path.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path


def merge(base: str, adapter: str, into: Path) -> None:
    """Write the merged model with its tokenizer to `into`, replacing what is there."""
    import torch
    from peft import PeftModel
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    own = AutoConfig.from_pretrained(base).dtype or torch.float32
    plain = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    merged = PeftModel.from_pretrained(plain, adapter).merge_and_unload().to(own)
    shutil.rmtree(into, ignore_errors=True)
    merged.save_pretrained(into)
    AutoTokenizer.from_pretrained(adapter).save_pretrained(into)


def main() -> None:
    base, adapter, into, program, *arguments = sys.argv[1:]
    print(f"merging the adapter in {adapter} into its base model, to serve it with {Path(program).name}", flush=True)
    try:
        merge(base, adapter, Path(into))
    except ImportError as error:
        sys.exit(f"the adapter cannot be merged: {error}; install peft beside transformers, or serve it with vLLM")
    beside = Path(sys.executable).parent / program
    path = str(beside) if beside.exists() else program  # an absolute path stays what it is
    os.execvp(path, [path, *arguments])


if __name__ == "__main__":
    main()
