"""The folder of a data preparation, laid out and named as the recipe does.

1_command_annotations/   annotated conversations, one file for each test file
2_rephrasings/           the same with passing and failed rephrasings
3_llm_finetune_data/     llm_ft_data.jsonl: every row with where it comes from
4_train_test_split/      e2e_tests/{train,validation}.yaml, ft_splits/{train,val}.jsonl
params.yaml              what was asked for
result_summary.yaml      what came out
"""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import yaml

from core.dataset.conversation import AnnotatedConversation, AnnotatedTurn
from core.dataset.points import DataPoint
from core.e2e.cases import TestSuite

OutputFormat = Literal["instruction", "conversational"]

ANNOTATIONS = "1_command_annotations"
REPHRASINGS = "2_rephrasings"
ALL_ROWS = "3_llm_finetune_data/llm_ft_data.jsonl"
TRAIN_TESTS = "4_train_test_split/e2e_tests/train.yaml"
VALIDATION_TESTS = "4_train_test_split/e2e_tests/validation.yaml"
TRAIN_ROWS = "4_train_test_split/ft_splits/train.jsonl"
VALIDATION_ROWS = "4_train_test_split/ft_splits/val.jsonl"
PARAMETERS = "params.yaml"
SUMMARY = "result_summary.yaml"


@dataclass(frozen=True)
class Prepared:
    """A finished data preparation."""

    conversations: tuple[AnnotatedConversation, ...]
    train: tuple[DataPoint, ...]
    validation: tuple[DataPoint, ...]
    left_out: tuple[DataPoint, ...] = ()
    """Rows of validation tests that train shows too."""
    train_tests: tuple[str, ...] = ()
    """Ids of tests."""
    validation_tests: tuple[str, ...] = ()


def write_dataset(
    folder: Path,
    prepared: Prepared,
    suite: TestSuite,
    output_format: OutputFormat,
    parameters: Mapping[str, Any],
    summary: Mapping[str, Any],
) -> None:
    """Write everything below `folder`; each file is complete or absent. `suite` holds the tests as their owner wrote them."""
    for file, conversations in _by_file(prepared.conversations).items():
        name = PurePosixPath(file).with_suffix(".yaml")
        write_yaml(folder / ANNOTATIONS / name, _plain(conversations, _annotation))
        write_yaml(folder / REPHRASINGS / name, _plain(conversations, _rephrasings))
    every = (*prepared.train, *prepared.validation, *prepared.left_out)
    write_lines(folder / ALL_ROWS, (with_provenance(point) for point in every))
    write_lines(folder / TRAIN_ROWS, (row(point, output_format) for point in prepared.train))
    write_lines(folder / VALIDATION_ROWS, (row(point, output_format) for point in prepared.validation))
    write_text(folder / TRAIN_TESTS, _tests(suite, prepared.train_tests))
    write_text(folder / VALIDATION_TESTS, _tests(suite, prepared.validation_tests))
    write_yaml(folder / PARAMETERS, parameters)
    write_yaml(folder / SUMMARY, summary)


def row(point: DataPoint, output_format: OutputFormat) -> dict[str, Any]:
    """A row for the trainer, in one of the two forms TRL names so."""
    if output_format == "instruction":
        return {"prompt": point.prompt, "completion": point.completion}
    user, assistant = {"role": "user", "content": point.prompt}, {"role": "assistant", "content": point.completion}
    return {"messages": [user, assistant]}


def with_provenance(point: DataPoint) -> dict[str, Any]:
    """A row with where it comes from."""
    return {
        "prompt": point.prompt,
        "completion": point.completion,
        "original_test_name": point.test,
        "turn": point.turn,
        "variant": point.variant,
        "original_user_utterance": point.original,
        "rephrased_user_utterance": point.message if point.message != point.original else None,
    }


def _by_file(conversations: Iterable[AnnotatedConversation]) -> dict[str, list[AnnotatedConversation]]:
    grouped: dict[str, list[AnnotatedConversation]] = defaultdict(list)
    for conversation in conversations:
        grouped[conversation.case.file].append(conversation)
    return grouped
