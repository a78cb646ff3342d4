"""Commands scored without a dialogue, checked against scikit-learn."""

from __future__ import annotations

import json
import random
from collections import Counter

import pytest
from sklearn.metrics import precision_recall_fscore_support

from core.assistant.domain import Slot
from core.assistant.lines import Lines
from core.dataset.text import levelled_value
from core.dialogue.command_text import render_all
from core.dialogue.commands import CancelFlow, ChitChat, Clarify, Command, HumanHandoff, SetSlot, StartFlow
from core.e2e.coverage import label
from core.evaluation.command_scores import CommandScores, score_commands

FLOWS = {"book", "pay", "move"}
NOWHERE = Lines("domain.yml", 1, 1)
SLOTS = {
    "day": Slot("day", "text", NOWHERE),
    "nights": Slot("nights", "float", NOWHERE),
    "sure": Slot("sure", "bool", NOWHERE),
    "room": Slot("room", "categorical", NOWHERE, values=("attic", "Tower")),
}


def scores(*pairs: tuple[str, str], slots=SLOTS, dialect="v2") -> CommandScores:
    return score_commands(pairs, dialect, FLOWS, slots)


def same(one: str, other: str, slots=SLOTS) -> bool:
    return scores((one, other), slots=slots).exact == 1


def test_all_right():
    found = scores(
        ("start flow book\nset slot day Friday", "start flow book\nset slot day Friday"), ("cancel flow",) * 2
    )
    assert (found.rows, found.exact, found.invalid) == (2, 2, 0)
    assert {name: score.f1 for name, score in found.labels.items()} == {
        "cancel flow": 1.0,
        "set slot": 1.0,
        "start flow": 1.0,
    }
    assert found.sentence == (
        "2 of 2 rows (100.0 %) have exactly the expected commands; F1 1.00 (cancel flow 1.00, set slot 1.00, start flow 1.00); "
        "every answer is valid"
    )


def test_a_command_is_right_with_its_flow_slot_and_value_only():
    found = scores(
        ("start flow book", "start flow pay"),
        ("set slot day Friday", "set slot day Monday"),
        ("set slot day Friday", "set slot room Friday"),
        ("start flow book", "start flow book"),
    )
    assert (found.labels["start flow"].right, found.labels["set slot"].right) == (1, 0)
    assert found.slot_value_f1 == 0.0
    assert found.exact == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("start flow book\nset slot day Friday", "set slot day Friday\nstart flow book"),
        ("disambiguate flows book pay", "disambiguate flows pay, book"),
        ("set slot day Friday", "set slot day  friday "),
        ("set slot day Elm  Road", 'set slot day "elm road"'),
        ("set slot nights 3", "set slot nights 3.0"),
        ("set slot nights 3", "set slot nights three"),
        ("set slot nights 1250", "set slot nights 1,250"),
        ("set slot sure True", "set slot sure yes"),
        ("set slot room Tower", "set slot room tower"),
        ("set slot day None", "set slot day none"),
        ("start flow book", "1. StartFlow(book)"),
    ],
)
def test_what_counts_as_the_same(one, other):
    assert same(one, other)
    assert same(other, one)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("start flow book", "start flow book\nstart flow book"),
        ("start flow book", ""),
        ("start flow book", "start flow Book"),
        ("set slot day 1", "set slot nights 1"),
        ("set slot nights 3", "set slot nights 30"),
        ("set slot sure True", "set slot sure no"),
        ("set slot day 007", "set slot day 7"),
        ("set slot day 99999999999999999", "set slot day 99999999999999998"),
        ("set slot day 3", "set slot day 3 nights"),
        ("disambiguate flows book pay", "disambiguate flows book"),
        ("start flow book", "start flow book\nset slot day None"),
    ],
)
def test_what_differs(one, other):
    assert not same(one, other)
    assert not same(other, one)


def test_slots_need_not_be_known():
    assert same("set slot sure True", "set slot sure true", slots=None)
    assert not same("set slot sure True", "set slot sure yes", slots=None)
    assert scores(("set slot age 3", "set slot age 3"), slots=None).invalid == 0


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "I would book a room.",
        "start flow fly",
        "start flow book\nand so on",
        "disambiguate flows book fly",
        "set slot age 3",
        "set slot day None",
        "set slot day",
    ],
)
def test_answers_that_hold_what_is_no_command(answer):
    found = scores(("start flow book", answer), ("start flow book", "start flow book"))
    assert (found.invalid, found.invalid_rate) == (1, 0.5)
    assert found.sentence.endswith("; 1 (50.0 %) hold what is no valid command")


def test_the_function_form():
    found = scores(("StartFlow(book)\nSetSlot(day, Friday)", "StartFlow(book), SetSlot(day, friday)"), dialect="v1")
    assert (found.exact, found.invalid) == (1, 0)


def test_without_rows_or_slots():
    nothing = scores()
    assert (nothing.rows, nothing.exact_rate, nothing.invalid_rate, nothing.slot_value_f1) == (0, 0.0, 0.0, None)
    assert nothing.sentence == "no rows to score commands on"
    assert scores(("start flow book", "start flow pay")).slot_value_f1 is None


def test_facts_are_json():
    facts = scores(("start flow book", "start flow book\nset slot nights 3"), ("set slot nights 3", "oh")).facts
    assert json.loads(json.dumps(facts)) == facts
    assert facts["labels"]["set slot"] == {"precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 1}
    assert facts["micro"] == {"precision": 0.5, "recall": 0.5, "f1": 0.5, "support": 2}
    assert (facts["exact_rate"], facts["invalid_rate"], facts["slot_value_f1"]) == (0.0, 0.5, 0.0)


COMMANDS: list[Command] = [
    *(StartFlow(flow) for flow in sorted(FLOWS)),
    *(SetSlot("nights", str(number)) for number in range(3)),
    *(SetSlot("day", day) for day in ("Friday", "Monday")),
    Clarify(("book", "pay")),
    CancelFlow(),
    ChitChat(),
    HumanHandoff(),
]


@pytest.mark.parametrize("seed", range(8))
def test_scikit_learn_finds_the_same(seed):
    """Each command that a row has, or its second copy, is one thing to find."""
    chance = random.Random(seed)
    rows = [
        (chance.choices(COMMANDS, k=chance.randint(0, 4)), chance.choices(COMMANDS, k=chance.randint(0, 4)))
        for _ in range(60)
    ]
    rows += [(wanted, chance.sample(wanted, len(wanted))) for wanted, _ in rows[:30]]
    found = scores(*((render_all(wanted, "v2"), render_all(given, "v2")) for wanted, given in rows))
    truth: dict[str, list[tuple[bool, bool]]] = {}
    exact = 0
    for wanted, given in rows:
        want, got = Counter(wanted), Counter(given)
        exact += want == got
        for command, most in (want | got).items():
            for copy in range(most):
                truth.setdefault(label(command), []).append((want[command] > copy, got[command] > copy))
    assert found.exact == exact
    assert set(found.labels) == set(truth)
    for name, score in [*found.labels.items(), (None, found.micro)]:
        cells = truth[name] if name else [cell for some in truth.values() for cell in some]
        precision, recall, f1, _ = precision_recall_fscore_support(
            *zip(*cells, strict=True), average="binary", zero_division=0
        )
        assert (score.precision, score.recall, score.f1) == pytest.approx((precision, recall, f1))
        assert score.support == sum(want for want, _ in cells)


@pytest.mark.parametrize(
    ("value", "form"),
    [
        ("Three", 3.0),
        (3, 3.0),
        ("1,250.50", 1250.5),
        ("-5", -5.0),
        (True, "true"),
        ("Elm  Road", "elm road"),
        ("007", "007"),
    ],
)
def test_levelled_values(value, form):
    assert levelled_value(value) == form
