"""The folder of a data preparation, laid out and named as the recipe does.

1_command_annotations/   annotated conversations, one file for each test file
2_rephrasings/           the same with passing and failed rephrasings
3_llm_finetune_data/     llm_ft_data.jsonl: every row with where it comes from
4_train_test_split/      e2e_tests/{train,validation,golden}.yaml, ft_splits/{train,val}.jsonl
annotations.yaml         all of folder 1 in one file, to replay
decisions.yml            what the owner had decided by hand when the rows were made; absent when nothing
params.yaml              what was asked for
result_summary.yaml      what came out

The keys of params.yaml are the questions of the step, under the recipe's names where it has them (path, num_rephrases, train_frac,
output_format). Those of result_summary.yaml:

command_annotation   input_tests, passing, annotated_user_steps, skipped_steps, derived (kind → conversations made of tests)
rephrasing           source, checked_by, candidates, passing, failed, llm_calls, distinct_1, distinct_2, mean_distance (of wordings),
                     rejected_share (reason → share of the candidates)
llm_data             data_points, shared_beginning (mean share of a prompt that other rows' prompts begin with as well)
split                train_tests, val_tests, golden_tests, train_points, val_points, train_fraction, left_out_points,
                     val_messages_known_from_train, leakage and golden_leakage (distance of the tests held out from those that models
                     learn: nearest, median, the nearest pairs), thin (command, flow or slot → tests that hold it), and
                     command_types, flows, slots (side → name → rows)

golden.yaml, golden_tests and golden_leakage are not of the recipe: tests that no model ever learns from.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from core.assistant.yaml_text import to_yaml
from core.atomic import write_atomically
from core.dataset.choices import OutputFormat
from core.dataset.conversation import AnnotatedConversation, AnnotatedTurn
from core.dataset.points import DataPoint
from core.dataset.prepare import Divided
from core.e2e.cases import TestSuite
from core.e2e.output import inside, suite_as_yaml

ANNOTATIONS = "1_command_annotations"
REPHRASINGS = "2_rephrasings"
ALL_ROWS = "3_llm_finetune_data/llm_ft_data.jsonl"
TRAIN_TESTS = "4_train_test_split/e2e_tests/train.yaml"
VALIDATION_TESTS = "4_train_test_split/e2e_tests/validation.yaml"
GOLDEN_TESTS = "4_train_test_split/e2e_tests/golden.yaml"
TRAIN_ROWS = "4_train_test_split/ft_splits/train.jsonl"
VALIDATION_ROWS = "4_train_test_split/ft_splits/val.jsonl"
PARAMETERS = "params.yaml"
SUMMARY = "result_summary.yaml"
EVERY_ANNOTATION = "annotations.yaml"
"""Not of the recipe: all annotations in one file, which can be replayed as a recording."""

_LINE_ENDS = {ord(character): f"\\u{ord(character):04x}" for character in "\x85\u2028\u2029"}
"""Line ends to Unicode but not to JSON: written as escapes, since readers may split lines at them."""


def write_dataset(
    folder: Path,
    conversations: Iterable[AnnotatedConversation],
    divided: Divided,
    suite: TestSuite,
    output_format: OutputFormat,
    parameters: Mapping[str, Any],
    summary: Mapping[str, Any],
) -> None:
    """Write everything below `folder`; each file is complete or absent. `suite` holds the tests as they are written."""
    conversations = list(conversations)
    write_yaml(
        folder / EVERY_ANNOTATION, plain(conversation for conversation in conversations if not conversation.derived)
    )
    for name, of_file in _by_file(conversations).items():
        write_yaml(folder / ANNOTATIONS / name, plain(of_file))
        write_yaml(folder / REPHRASINGS / name, plain(of_file, rephrased_annotation))
    every = (*divided.train, *divided.validation, *divided.left_out)
    write_lines(folder / ALL_ROWS, (with_provenance(point) for point in every))
    write_lines(folder / TRAIN_ROWS, (row(point, output_format) for point in divided.train))
    write_lines(folder / VALIDATION_ROWS, (row(point, output_format) for point in divided.validation))
    write_text(folder / TRAIN_TESTS, suite_as_yaml(suite, divided.split.train))
    write_text(folder / VALIDATION_TESTS, suite_as_yaml(suite, divided.split.validation))
    write_text(folder / GOLDEN_TESTS, suite_as_yaml(suite, divided.golden_tests))
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


def annotation(turn: AnnotatedTurn) -> dict[str, Any]:
    """A user step as the recipe writes it down."""
    return {"user": turn.user, **({"llm_commands": list(turn.lines)} if turn.annotated else {})}


def rephrased_annotation(turn: AnnotatedTurn) -> dict[str, Any]:
    """The same with its rephrasings. `reasons` is an addition: the failed ones with what is wrong with each."""
    if not turn.annotated:
        return annotation(turn)
    return {
        **annotation(turn),
        "passing_rephrasings": list(turn.passing),
        "failed_rephrasings": [rejected.text for rejected in turn.rejected],
        "reasons": {rejected.text: rejected.reason for rejected in turn.rejected},
    }


def plain(
    conversations: Iterable[AnnotatedConversation], user_step: Callable[[AnnotatedTurn], dict[str, Any]] = annotation
) -> dict[str, Any]:
    """Conversations as plain data, in the recipe's format."""
    return {
        "conversations": [
            {
                "original_test_case": conversation.case.id,
                **({"derived": conversation.derived} if conversation.derived else {}),
                "steps": [
                    step
                    for turn in conversation.turns
                    for step in (user_step(turn), *({kind: text} for kind, text in turn.bot))
                ],
            }
            for conversation in conversations
        ]
    }


def write_yaml(path: Path, content: Any) -> None:
    """Write plain data as YAML."""
    write_text(path, to_yaml(content))


def write_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write one JSON object a line."""
    write_text(path, "".join(json.dumps(row, ensure_ascii=False).translate(_LINE_ENDS) + "\n" for row in rows))


def write_text(path: Path, text: str) -> None:
    """Write a file so that it is there as a whole or not at all, whatever stops the process or the machine."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, text)


def _by_file(conversations: Iterable[AnnotatedConversation]) -> dict[PurePosixPath, list[AnnotatedConversation]]:
    """Conversations by the path of their test file, which may not lead out of the folder."""
    grouped: dict[PurePosixPath, list[AnnotatedConversation]] = defaultdict(list)
    for conversation in conversations:
        grouped[inside(conversation.case.file)].append(conversation)
    return grouped
