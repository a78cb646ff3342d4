"""Rows as token ids, and the rows of a batch as one tree."""

from __future__ import annotations

import json
from importlib.resources.abc import Traversable
from typing import Any

import torch
import tree
from datasets import Dataset

ENDING = 200
"""Characters of a prompt's end by which a reader knows the row: the user's last message stands there."""


class RowError(Exception):
    """A row that cannot be trained on; a sentence naming it."""


def read_rows(path: Traversable, tokenizer: Any, longest: int) -> Dataset:
    """Rows as token ids with the index of their first label. Raises RowError for one that is too long or has no completion."""
    found = []
    for number, body in enumerate(_bodies(path), 1):
        messages = _messages(body)
        prompt = tokenizer.apply_chat_template(
            messages[:-1], add_generation_prompt=True, tokenize=True, return_dict=False
        )
        answer = tokenizer(messages[-1]["content"], add_special_tokens=False)["input_ids"] + [tokenizer.eos_token_id]
        tokens = [*prompt, *answer]
        name = body.get("original_test_name", messages[-2]["content"][-60:])
        if len(tokens) > longest:
            raise RowError(
                f"{path}:{number}: the row ({name}) has {len(tokens)} tokens, the model reads {longest}; "
                "shorten the history shown in prompts or take a model with a longer context"
            )
        found.append({"input_ids": tokens, "labels_from": len(prompt)})
    if not found:
        raise RowError(f"{path} holds no rows")
    return Dataset.from_list(found)


def describe_rows(path: Traversable) -> list[dict[str, Any]]:
    """What a reader knows each row by, in their order: its line, its test and turn (if it names them), its end, what it expects."""
    return [
        {
            "row": number,
            "test": body.get("original_test_name"),
            **({"turn": body["turn"]} if "turn" in body else {}),
            "message": _messages(body)[-2]["content"][-ENDING:],
            "expected": _messages(body)[-1]["content"],
        }
        for number, body in enumerate(_bodies(path), 1)
    ]


def _bodies(path: Traversable) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _messages(body: dict[str, Any]) -> list[dict[str, str]]:
    """Both forms of rows as a conversation that ends with what is to be written."""
    return body.get("messages") or [
        {"role": "user", "content": body["prompt"]},
        {"role": "assistant", "content": body["completion"]},
    ]


class FoldRows:
    """Collator: the rows of a batch as one tree."""

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        folded = tree.fold([tree.Row(row["input_ids"], row["labels_from"]) for row in rows])
        return {
            "input_ids": torch.tensor([folded.tokens]),
            "position_ids": torch.tensor([folded.positions]),
            "label_nodes": torch.tensor(folded.label_nodes),
            "labels": torch.tensor(folded.labels),
            "shift_labels": torch.tensor(folded.labels),  # counted as they are; of `labels` the trainer leaves out the first
            "row_labels": torch.tensor(folded.row_labels),
            "segments": folded.segments,
            "plain_tokens": folded.plain_tokens,
        }
