"""What the trained model writes for validation rows, decoded greedily; the beginning that prompts share is computed once.

Rows that match exactly are known from a validation pass and are not generated.
"""

from __future__ import annotations

import copy
import inspect
import json
import os
import random
import time
from collections.abc import Sequence
from importlib.resources.abc import Traversable
from itertools import takewhile
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import find_executable_batch_size
from datasets import Dataset
from report import log
from rows import describe_rows
from trainer import TreeTrainer
from transformers import DynamicCache, GenerationConfig

PREDICTIONS = "predictions.jsonl"
LONGEST = 128
"""Tokens after which a completion that does not end is cut."""
ROWS_AT_ONCE = 32
"""Rows decoded together; halved for as long as memory does not suffice."""


def choose_rows(count: int, most: int, seed: int) -> list[int]:
    """Indices of the rows that are scored, in their order: all, or `most` of them drawn with the seed."""
    return list(range(count)) if count <= most else sorted(random.Random(seed).sample(range(count), most))


def exactly_written(trainer: TreeTrainer, rows: Dataset) -> list[bool]:
    """Whether greedy decoding would write each row's completion."""
    found = trainer.predict(rows)
    return [bool(exact) for exact in found.predictions == found.label_ids]


def write_predictions(
    model: Any, tokenizer: Any, path: Traversable, rows: Dataset, chosen: Sequence[int], exact: Sequence[bool]
) -> None:
    """Leave predictions.jsonl with the `chosen` rows of `path`; `exact` says which of them match without being generated."""
    began = time.monotonic()
    described = describe_rows(path)
    others = [at for at, matches in zip(chosen, exact, strict=True) if not matches]
    prompts = [rows[at]["input_ids"][: rows[at]["labels_from"]] for at in others]
    written = dict(zip(others, generate(model, tokenizer, prompts), strict=True))
    lines = [{**described[at], "predicted": written.get(at, described[at]["expected"])} for at in chosen]
    partial = Path(f".{PREDICTIONS}.partial")
    partial.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    os.replace(partial, PREDICTIONS)
    log(
        f"{len(chosen) - len(others)} of {len(chosen)} validation rows match exactly; "
        f"the other {len(others)} were generated in {time.monotonic() - began:.0f} s"
    )


def generate(model: Any, tokenizer: Any, prompts: Sequence[list[int]], longest: int = LONGEST) -> list[str]:
    """Greedy completions of prompts given as tokens, each to the tokenizer's end token or `longest` tokens."""
    if not prompts:
        return []
    # The model's own defaults may sample or punish repetition.
    model.generation_config = GenerationConfig(
        do_sample=False, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.eos_token_id
    )
    model.eval()
    order = sorted(range(len(prompts)), key=lambda at: len(prompts[at]))
    beginning = _common([prompt[:-1] for prompt in prompts])

    @find_executable_batch_size(starting_batch_size=ROWS_AT_ONCE)  # type: ignore[untyped-decorator]
    def decode_all(batch_size: int) -> dict[int, str]:
        shared = _computed(model, beginning)
        found: dict[int, str] = {}
        for first in range(0, len(order), batch_size):
            batch = order[first : first + batch_size]
            tokens = _decode(model, [prompts[at] for at in batch], len(beginning), shared, longest)
            found.update(zip(batch, tokenizer.batch_decode(tokens, skip_special_tokens=True), strict=True))
        return found

    with torch.inference_mode():
        found = decode_all()
    return [found[at] for at in range(len(prompts))]


def _common(rows: Sequence[list[int]]) -> list[int]:
    """What all rows begin with; of rows in order, the first and the last differ earliest."""
    pairs = zip(min(rows), max(rows), strict=False)
    return [one for one, _ in takewhile(lambda pair: pair[0] == pair[1], pairs)]


def _computed(model: Any, beginning: Sequence[int]) -> DynamicCache:
    """Keys and values of the tokens all prompts begin with."""
    cache = DynamicCache(config=model.config)
    if beginning:
        model.get_decoder()(
            input_ids=torch.tensor([list(beginning)], device=model.device), use_cache=True, **{_name(model): cache}
        )
    return cache


def _decode(
    model: Any, prompts: Sequence[Sequence[int]], shared: int, cache: DynamicCache, longest: int
) -> torch.Tensor:
    """Tokens written behind each prompt [rows, tokens]; padding stands between the shared beginning and the rest."""
    width = max(map(len, prompts))
    pad = model.generation_config.pad_token_id
    tokens = [[*prompt[:shared], *[pad] * (width - len(prompt)), *prompt[shared:]] for prompt in prompts]
    mask = [[1] * shared + [0] * (width - len(prompt)) + [1] * (len(prompt) - shared) for prompt in prompts]
    own = {}
    if shared:
        own[_name(model)] = copy.deepcopy(cache)
        own[_name(model)].batch_repeat_interleave(len(prompts))
    done = model.generate(
        input_ids=torch.tensor(tokens, device=model.device),
        attention_mask=torch.tensor(mask, device=model.device),
        max_new_tokens=min(longest, model.config.max_position_embeddings - width),
        **own,
    )
    return done[:, width:]


def _name(model: Any) -> str:
    """The argument of the cache, which newer versions of transformers call otherwise."""
    return "cache" if "cache" in inspect.signature(model.forward).parameters else "past_key_values"
