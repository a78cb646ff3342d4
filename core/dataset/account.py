"""What a preparation came to: facts for the summary, and what its owner should know."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from core.assistant.project import Assistant
from core.dataset.beginning import shared_beginning
from core.dataset.conversation import AnnotatedConversation
from core.dataset.inventory import inventory, of_kind
from core.dataset.leakage import leakage_facts, shared_messages
from core.dataset.points import contradictions
from core.dataset.prepare import Divided

MOST_NAMED = 5
"""Names in one sentence; the rest is counted."""
ENOUGH_TESTS = 3
"""Tests that hold a thing, from which it counts as taught in more than one way: two to train on, one to validate."""


def annotation_facts(conversations: Sequence[AnnotatedConversation]) -> dict[str, Any]:
    tests = [conversation for conversation in conversations if not conversation.derived]
    turns = [turn for conversation in tests for turn in conversation.turns]
    annotated = sum(turn.annotated for turn in turns)
    return {
        "passing": len(tests),
        "annotated_user_steps": annotated,
        "skipped_steps": len(turns) - annotated,
        "derived": dict(Counter(conversation.derived for conversation in conversations if conversation.derived)),
    }


def rephrasing_facts(
    conversations: Sequence[AnnotatedConversation], source: str, checked_by: str, llm_calls: int
) -> dict[str, Any]:
    """Counts of wordings; `llm_calls` are those answered, out of a cache or not."""
    turns = [turn for conversation in conversations for turn in conversation.turns]
    passing, failed = sum(len(turn.passing) for turn in turns), sum(len(turn.rejected) for turn in turns)
    return {
        "source": source,
        "checked_by": checked_by,
        "candidates": passing + failed,
        "passing": passing,
        "failed": failed,
        "llm_calls": llm_calls,
    }


def row_facts(divided: Divided, seed: int) -> dict[str, Any]:
    """How many rows there are, and how much of their prompts they share."""
    prompts = [point.prompt for point in (*divided.train, *divided.validation)]
    return {
        "data_points": len(prompts) + len(divided.left_out),
        "shared_beginning": round(shared_beginning(prompts, seed), 4),
    }


def split_facts(divided: Divided, texts: Mapping[str, str]) -> dict[str, Any]:
    """Sizes of the sides, what they hold by kind, name and rows, and how far apart they are. `texts`: test id → what is `said` in it."""
    sides = {"train": inventory(divided.train), "validation": inventory(divided.validation)}
    return {
        "train_tests": len(divided.split.train),
        "val_tests": len(divided.split.validation),
        "golden_tests": len(divided.golden_tests),
        "train_points": len(divided.train),
        "val_points": len(divided.validation),
        "train_fraction": round(divided.split.train_fraction, 4),
        "thin": thin(divided),
        "left_out_points": len(divided.left_out),
        "val_messages_known_from_train": round(shared_messages(divided.train, divided.validation), 4),
        "leakage": leakage_facts(texts, divided.split.validation, divided.split.train),
        "golden_leakage": leakage_facts(texts, divided.golden_tests, (*divided.split.train, *divided.split.validation)),
        "command_types": {side: of_kind(held, "command") for side, held in sides.items()},
        "flows": {side: of_kind(held, "flow") for side, held in sides.items()},
        "slots": {side: of_kind(held, "slot") for side, held in sides.items()},
    }


def thin(divided: Divided) -> dict[str, int]:
    """Commands, flows and slots that fewer than ENOUGH_TESTS tests hold, with that number, the fewest first."""
    tests: dict[str, set[str]] = defaultdict(set)
    for point in (*divided.train, *divided.validation, *divided.left_out):
        for name in inventory([point]):
            tests[name].add(point.test)
    few = {name: len(of) for name, of in tests.items() if len(of) < ENOUGH_TESTS}
    return dict(sorted(few.items(), key=lambda entry: (entry[1], entry[0])))


WHAT_TO_WRITE = {
    "flow": "tests that begin them in other ways and at other points of a conversation",
    "command": "tests in which the user does this in other flows",
    "slot": "tests that give other values, as answers and in the first message",
}
"""By kind."""


def advice(few: Mapping[str, int]) -> Iterator[str]:
    """What to write for things that few tests hold, as `thin` counts them: a sentence a kind."""
    for kind, what in WHAT_TO_WRITE.items():
        names = [f"{name.partition(' ')[2]} ({count})" for name, count in few.items() if name.startswith(f"{kind} ")]
        if names:
            yield f"few tests hold the {kind}{'s' if len(names) > 1 else ''} {_named(names)}; write {what}"


def warnings(assistant: Assistant, divided: Divided) -> Iterator[str]:
    """Sentences about what will make the model worse than its data could."""
    taught = of_kind(inventory(divided.train), "flow")
    unknown = [flow.id for flow in assistant.business_flows if not flow.never_startable and flow.id not in taught]
    if unknown:
        yield f"no row in train starts {_named(unknown)}; a model cannot learn to. Write (more) tests that do"
    if not divided.validation and divided.split.train_fraction < 1:
        yield "validation has no rows, since its tests begin and go on like those of train; write more tests"
    elif not divided.validation:
        yield "there is no validation, so nothing will show how the model does on what it has not seen"
    if divided.validation and divided.split.only_in_train:
        yield f"validation has no rows for {_named(divided.split.only_in_train)}: too few tests have them"
    yield from advice(thin(divided))
    clashes = contradictions((*divided.train, *divided.validation, *divided.left_out))
    for one, other in clashes[:MOST_NAMED]:
        yield (
            f"{one.test} and {other.test} want different commands for {one.message!r} in the same situation: "
            f"{one.completion!r} and {other.completion!r}"
        )
    if len(clashes) > MOST_NAMED:
        yield f"{len(clashes) - MOST_NAMED} more prompts have contradictory commands"


def _named(names: Sequence[str]) -> str:
    shown = ", ".join(names[:MOST_NAMED])
    return shown if len(names) <= MOST_NAMED else f"{shown} and {len(names) - MOST_NAMED} more"
