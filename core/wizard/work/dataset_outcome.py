"""What a data preparation leaves, however its rows were made: files, facts, warnings and gates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from core.dataset import output
from core.dataset.account import annotation_facts, row_facts, split_facts, warnings
from core.dataset.beginning import about_beginning
from core.dataset.conversation import AnnotatedConversation
from core.dataset.inventory import inventory
from core.dataset.leakage import said
from core.dataset.prepare import Divided
from core.evaluation.review import Workbench
from core.wizard.events import Notice
from core.wizard.shared import SharedAnswers
from core.wizard.step import Context, Gate, Outputs
from core.wizard.steps.dataset import DatasetAnswers

_FILES = {
    "train_rows": output.TRAIN_ROWS,
    "val_rows": output.VALIDATION_ROWS,
    "train_tests": output.TRAIN_TESTS,
    "val_tests": output.VALIDATION_TESTS,
    "golden_tests": output.GOLDEN_TESTS,
    "annotations": output.EVERY_ANNOTATION,
    "summary": output.SUMMARY,
}


@dataclass(frozen=True)
class Made:
    """Conversations and their rows on both sides."""

    conversations: Sequence[AnnotatedConversation]
    divided: Divided
    rephrasing: dict[str, Any]
    """Facts about the wordings."""
    prompts: Literal["own", "rasa"] = "own"
    """Which engine rendered them: a model understands the prompts it was trained on."""


def outcome(made: Made, bench: Workbench, context: Context) -> Outputs:
    """Write the folder, tell what its owner should know, and judge it."""
    answers: DatasetAnswers = context.answers
    divided = made.divided
    for warning in warnings(bench.assistant, divided):
        context.emit(Notice("warning", warning))
    rows = row_facts(divided, context.shared.seed)
    context.emit(Notice(*about_beginning(rows["shared_beginning"], bench.lists_some_flows)))
    # The rasa command chooses flows as config.yml says, whatever is answered here.
    config = bench.assistant.settings.flow_retrieval
    retrieval = config.facts if made.prompts == "rasa" else dict(bench.flow_retrieval)
    facts = {
        "command_annotation": {"input_tests": len(bench.suite.cases), **annotation_facts(made.conversations)},
        "rephrasing": made.rephrasing,
        "llm_data": rows,
        "split": split_facts(divided, {case.id: said(case) for case in bench.suite.cases}),
    }
    output.write_dataset(
        context.folder,
        made.conversations,
        divided,
        bench.suite,
        answers.output_format,
        {**_parameters(bench, context), "flow_retrieval": retrieval},
        facts,
    )
    summary = {
        **facts,
        "dialect": bench.dialect,
        "history_turns": answers.history_turns,
        "prompts": made.prompts,
        "commands_from": context.upstream["coverage"].outputs.summary.get("commands_from"),
        "flow_retrieval": retrieval,
        "train_test_ids": list(divided.split.train),
        "val_test_ids": list(divided.split.validation),
        "golden_test_ids": list(divided.golden_tests),
    }
    return Outputs(summary, _FILES, _gates(divided, facts["split"]["leakage"]["nearest"]))


def _parameters(bench: Workbench, context: Context) -> dict[str, Any]:
    """What was asked for, under the recipe's names where it has them."""
    answers: DatasetAnswers = context.answers
    shared: SharedAnswers = context.shared
    return {
        "path": shared.tests or str(shared.assistant),
        "bring_in": str(answers.bring_in) if answers.bring_in else None,
        "num_rephrases": answers.num_rephrases,
        "answer_rephrases": answers.answer_rephrases,
        "rephraser": answers.rephraser,
        "rephrase_model": answers.rephrase_model,
        "rephrase_template": str(answers.rephrase_template) if answers.rephrase_template else None,
        "speech": answers.speech,
        "length": answers.length,
        "typos": answers.typos,
        "languages": answers.languages,
        "other_values": answers.other_values,
        "hard_cases": answers.hard_cases,
        "check": answers.check,
        "equality": answers.equality,
        "train_frac": answers.train_fraction,
        "golden_frac": answers.golden_fraction,
        "golden": str(answers.golden) if answers.golden else None,
        "output_format": answers.output_format,
        "history_turns": answers.history_turns,
        "dialect": bench.dialect,
        "seed": shared.seed,
    }


def _gates(divided: Divided, distance: float | None) -> list[Gate]:
    """All that is taught must be in train, and nothing of train in what is held out; counted on the rows themselves."""
    held = inventory((*divided.train, *divided.validation, *divided.left_out, *divided.golden))
    missing = sorted(held.keys() - inventory(divided.train).keys())
    trained = {point.test for point in divided.train}
    torn = (trained & {point.test for point in divided.validation}) | (
        {*divided.golden_tests} & {*divided.split.train, *divided.split.validation}
    )
    known = {point.prompt for point in divided.train}
    repeated = sum(point.prompt in known for point in divided.validation)
    nearest = "" if distance is None else f"; the nearest tests differ by {100 * distance:.0f} %"
    return [
        Gate(
            "every command, flow and slot in train",
            "all that the tests hold",
            f"missing: {', '.join(missing)}" if missing else f"all {len(held)}",
            not missing and bool(held),
        ),
        Gate(
            "no leakage",
            "no test and no row on two sides",
            f"{len(torn)} tests, {repeated} rows{nearest}",
            not torn and not repeated,
        ),
    ]
