"""Rows: for each annotated turn of each rephrased conversation what the model is shown and what it should write."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from core.dataset.conversation import AnnotatedConversation, replay
from core.dialogue.commands import Command
from core.dialogue.engine import Engine
from core.dialogue.prompt import PromptRenderer


@dataclass(frozen=True)
class DataPoint:
    """One row, with where it comes from."""

    prompt: str
    completion: str
    """Commands, one a line."""
    test: str
    """Id of the test: `file::name`."""
    turn: int
    """Position of the user turn in the test, from 1."""
    variant: int
    """0 for the original conversation, k for the k-th rephrased one."""
    original: str
    """The user's message as the test has it."""
    message: str
    """The message as it stands in the prompt."""
    commands: tuple[Command, ...]


def recombine(conversation: AnnotatedConversation) -> list[tuple[str, ...]]:
    """The user's messages of each conversation that can be made of one, the original first.

    The k-th rephrased conversation has the k-th passing wording of every turn. A turn with fewer starts over with its
    first; one with none keeps the original.
    """
    count = max((len(turn.passing) for turn in conversation.turns), default=0)
    original = tuple(turn.user for turn in conversation.turns)
    rephrased = (
        tuple(turn.passing[k % len(turn.passing)] if turn.passing else turn.user for turn in conversation.turns)
        for k in range(count)
    )
    return [original, *rephrased]


def data_points(conversation: AnnotatedConversation, engine: Engine, renderer: PromptRenderer) -> list[DataPoint]:
    """The rows of one test, original conversation first. Prompts hold the rephrased history and the true state.

    A row that repeats another word for word (a turn whose wordings started over behind the same history) is left out.
    """
    points: list[DataPoint] = []
    for variant, messages in enumerate(recombine(conversation)):
        trackers = replay(engine.new_tracker(), conversation.result, messages)
        for at, (turn, tracker) in enumerate(zip(conversation.turns, trackers, strict=True)):
            if turn.annotated:
                prompt, completion = renderer.render(tracker, messages[at]), "\n".join(turn.lines)
                points.append(
                    DataPoint(
                        prompt,
                        completion,
                        conversation.case.id,
                        at + 1,
                        variant,
                        turn.user,
                        messages[at],
                        turn.commands,
                    )
                )
    return unrepeated(points)


def unrepeated(points: Iterable[DataPoint]) -> list[DataPoint]:
    """The first of the rows that are the same word for word."""
    first: dict[tuple[str, str], DataPoint] = {}
    for point in points:
        first.setdefault((point.prompt, point.completion), point)
    return list(first.values())


def contradictions(points: Sequence[DataPoint]) -> list[tuple[DataPoint, DataPoint]]:
    """Pairs of rows that show the same prompt and want different commands: no model can learn both."""
    first: dict[str, DataPoint] = {}
    pairs: dict[str, tuple[DataPoint, DataPoint]] = {}
    for point in points:
        earlier = first.setdefault(point.prompt, point)
        if earlier.completion != point.completion:
            pairs.setdefault(point.prompt, (earlier, point))
    return list(pairs.values())
