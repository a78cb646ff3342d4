"""How many tokens rows have and how many of them are computed, from a sample of steps folded as training folds them."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from core.training.memory import Load
from core.training.tree import Row, Tree, fold

CHARACTERS_PER_TOKEN = 4
SAMPLED_STEPS = 8
SAMPLED_TOKENS = 400_000
"""About so many tokens are folded at most, so that a plan takes a second or two whatever the rows."""
Encode = Callable[[str], Sequence[int]]


@dataclass(frozen=True)
class RowSet:
    """The rows of a file as texts, and what a sample of them says."""

    rows: int
    tokens: int
    """Of all rows, laid side by side."""
    longest: int
    """Tokens of the longest row."""
    sample: tuple[tuple[Row, ...], ...]
    """Optimizer steps drawn at random."""
    counted: str
    """How tokens were counted, in words."""


@dataclass(frozen=True)
class Folded:
    """Steps as training would compute them with micro-batches of some size."""

    ratio: float
    """Tokens of the rows for each token computed."""
    pairs_per_token: float
    """Pairs of tokens in attention for each token computed."""
    labels_per_token: float
    """Labels for each token of the rows."""
    peak: Load
    """The largest micro-batch."""


def read_rows(paths: Sequence[Path], rows_per_step: int, seed: int, tokenizer: Path | None) -> RowSet:
    """Count the rows of JSONL files together; `tokenizer` is a tokenizer.json. Raises OSError, ValueError for what is no rows."""
    stamps = tuple((path, path.stat().st_mtime_ns, path.stat().st_size) for path in paths)
    return _read(stamps, rows_per_step, seed, tokenizer)


@lru_cache(maxsize=4)
def _read(stamps: tuple[tuple[Path, int, int], ...], per_step: int, seed: int, tokenizer: Path | None) -> RowSet:
    bodies = [line for path, *_ in stamps for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    texts = [_texts(json.loads(line)) for line in bodies]
    if not texts:
        raise ValueError("there are no rows")
    encode, counted = encoder(tokenizer)
    sizes = [len(prompt) + len(completion) for prompt, completion in texts]
    step_tokens = max(1, per_step * sum(sizes) // len(sizes) // CHARACTERS_PER_TOKEN)
    steps = max(2, min(SAMPLED_STEPS, SAMPLED_TOKENS // step_tokens))
    chance = random.Random(seed)
    order = list(range(len(texts)))
    drawn: list[list[int]] = []
    for _ in range(steps):
        chance.shuffle(order)
        drawn.append(order[:per_step])
    longest = max(range(len(texts)), key=sizes.__getitem__)
    known = {number: _row(texts[number], encode) for number in {longest, *(one for step in drawn for one in step)}}
    per_character = sum(len(row.tokens) for row in known.values()) / sum(sizes[number] for number in known)
    if len(known) < len(texts):
        counted += f", {len(known):,} rows counted and the others taken by their length"
    return RowSet(
        rows=len(texts),
        tokens=round(per_character * sum(sizes)),
        longest=max(len(row.tokens) for row in known.values()),
        sample=tuple(tuple(known[number] for number in step) for step in drawn),
        counted=counted,
    )


def folded(rows: RowSet, micro_rows: int, share: bool = True) -> Folded:
    """The sampled steps cut into micro-batches of `micro_rows` rows; without `share` rows stand side by side."""
    plain = computed = pairs = labels = 0
    peak = Load(rows.longest, 1)
    for step in rows.sample:
        for at in range(0, len(step), micro_rows):
            batch = step[at : at + micro_rows]
            trees = [fold(batch)] if share else [fold([row]) for row in batch]
            own = sum(len(tree.tokens) for tree in trees)
            own_pairs = sum(_pairs(tree) for tree in trees)
            own_labels = sum(len(tree.labels) for tree in trees)
            plain += sum(tree.plain_tokens for tree in trees)
            computed, pairs, labels = computed + own, pairs + own_pairs, labels + own_labels
            peak = Load(max(peak.tokens, own), max(peak.labels, own_labels))
    return Folded(plain / computed, pairs / computed, labels / plain, peak)


def encoder(tokenizer: Path | None) -> tuple[Encode, str]:
    """Text to tokens, and how, in words. Without a tokenizer a token is four characters, which shared beginnings share."""
    if tokenizer is not None and tokenizer.is_file():
        try:
            from tokenizers import Tokenizer

            loaded = Tokenizer.from_file(str(tokenizer))
        except Exception:  # a file of another version raises whatever its library does; the estimate then goes without
            pass
        else:
            return lambda text: loaded.encode(text, add_special_tokens=False).ids, "by the model's tokenizer"
    return _by_characters, "as a quarter of their characters, since the model's tokenizer is not at hand"


def _by_characters(text: str) -> Sequence[int]:
    return [hash(text[at : at + CHARACTERS_PER_TOKEN]) for at in range(0, len(text), CHARACTERS_PER_TOKEN)]


def _texts(body: dict[str, object]) -> tuple[str, str]:
    """Prompt and completion of a row in either form. Raises ValueError."""
    messages = body.get("messages")
    if isinstance(messages, list) and messages:
        *before, last = [str(message["content"]) for message in messages]
        return "\n".join(before), last
    if "prompt" not in body or "completion" not in body:
        raise ValueError("a row has neither prompt and completion nor messages")
    return str(body["prompt"]), str(body["completion"])


def _row(texts: tuple[str, str], encode: Encode) -> Row:
    prompt, completion = encode(texts[0]), encode(texts[1])
    end = [-1]  # the end of the row is learnt too
    return Row([*prompt, *completion, *end] if prompt else [-2, *completion, *end], max(1, len(prompt)))


def _pairs(tree: Tree) -> int:
    """Pairs of queries and keys that attention over a tree computes: each segment's keys meet its whole subtree."""
    below = [segment.length for segment in tree.segments]
    for segment in tree.segments:
        for above in segment.path:
            below[above] += segment.length
    return sum(segment.length * queries for segment, queries in zip(tree.segments, below, strict=True))
