"""What would let validation flatter a model: near-duplicate tests and equal rows on both sides."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from core.dataset.conversation import AnnotatedConversation
from core.dataset.points import DataPoint
from core.dataset.text import normalised


def duplicate_key(conversation: AnnotatedConversation) -> tuple[str, ...]:
    """Equal for tests in which the user says the same, whatever they check; such tests belong on one side."""
    return tuple(normalised(turn.user) for turn in conversation.turns)


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
