"""What would let validation flatter a model: near-duplicate tests and equal rows on both sides."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from statistics import median
from typing import Any

from core.dataset.nearness import nearest
from core.dataset.points import DataPoint
from core.dataset.text import normalised
from core.e2e.cases import TestCase

_PAIRS_SHOWN = 5


def said(case: TestCase) -> str:
    """All that the user says in a test; tests that are alike in it belong on one side, whatever they check."""
    return "\n".join(turn.user for turn in case.turns)


def without_leaks(
    train: Iterable[DataPoint], validation: Iterable[DataPoint]
) -> tuple[list[DataPoint], list[DataPoint]]:
    """Validation rows with a prompt that train does not show, and the others, which are left out.

    Tests that begin alike share rows without being near duplicates.
    """
    shown = {point.prompt for point in train}
    kept: list[DataPoint] = []
    left_out: list[DataPoint] = []
    for point in validation:
        (left_out if point.prompt in shown else kept).append(point)
    return kept, left_out


def shared_messages(train: Sequence[DataPoint], validation: Sequence[DataPoint]) -> float:
    """Share of validation rows whose message train has too, behind another history or not; 0 without validation rows.

    A high share is no fault ("yes" is "yes"), but it says how much of validation is really new.
    """
    known = {normalised(point.message) for point in train}
    return sum(normalised(point.message) in known for point in validation) / len(validation) if validation else 0.0


def leakage_facts(texts: Mapping[str, str], held_out: Collection[str], train: Collection[str]) -> dict[str, Any]:
    """How far tests that are held out are from those trained on, by what is `said` in them.

    Keys: nearest and median distance (0: the same, 1: nothing in common; None without tests on either side), and the nearest `pairs`.
    """
    found = nearest({id: texts[id] for id in held_out if id in texts}, {id: texts[id] for id in train if id in texts})
    return {
        "nearest": round(found[0].distance, 4) if found else None,
        "median": round(median(pair.distance for pair in found), 4) if found else None,
        "pairs": [
            {"held_out": pair.id, "train": pair.other, "distance": round(pair.distance, 4)}
            for pair in found[:_PAIRS_SHOWN]
        ],
    }
