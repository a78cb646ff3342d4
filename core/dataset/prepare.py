"""The preparation as a whole: rephrase annotated conversations, make rows of them, divide them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from core.dataset.conversation import AnnotatedConversation
from core.dataset.inventory import combinations, inventory
from core.dataset.leakage import duplicate_key, without_leaks
from core.dataset.points import DataPoint, data_points, unrepeated
from core.dataset.rephrase import Rephraser
from core.dataset.split import Item, Split, split
from core.dataset.together import each
from core.dataset.validation import Understanding, validate
from core.dialogue.engine import Engine
from core.dialogue.prompt import PromptRenderer


async def rephrase(
    conversations: Sequence[AnnotatedConversation],
    rephraser: Rephraser,
    count: int,
    engine: Engine,
    understanding: Understanding | None,
    concurrency: int = 8,
    on_done: Callable[[AnnotatedConversation], None] = lambda _: None,
) -> list[AnnotatedConversation]:
    """Each conversation with its passing and rejected rephrasings, `concurrency` at a time. Raises ProviderError."""

    async def one(conversation: AnnotatedConversation) -> AnnotatedConversation:
        candidates = await rephraser.candidates(conversation, count)
        done = await validate(conversation, candidates, engine, understanding)
        on_done(done)
        return done

    return await each(conversations, one, concurrency)


def with_fewer_answers(conversations: Sequence[AnnotatedConversation], most: int) -> list[AnnotatedConversation]:
    """The conversations with at most so many wordings of messages that only answer a question.

    Such messages are the many and the easy ones; fewer of them leave room for what is rare and hard: openings, digressions, corrections.
    """
    return [
        replace(
            conversation,
            turns=tuple(
                replace(turn, passing=turn.passing[:most]) if turn.only_answers else turn for turn in conversation.turns
            ),
        )
        for conversation in conversations
    ]


@dataclass(frozen=True)
class Divided:
    """Rows of both sides."""

    split: Split
    train: tuple[DataPoint, ...]
    validation: tuple[DataPoint, ...]
    left_out: tuple[DataPoint, ...] = field(default=())
    """Rows of validation tests that train shows too."""


def divide(
    conversations: Sequence[AnnotatedConversation],
    engine: Engine,
    renderer: PromptRenderer,
    train_fraction: float,
    seed: int,
) -> Divided:
    """Make rows and split them by whole tests; rows of derived conversations go with their test."""
    points: dict[str, list[DataPoint]] = defaultdict(list)
    for conversation in conversations:
        points[conversation.case.id] += data_points(conversation, engine, renderer)
    points.update({test: unrepeated(rows) for test, rows in points.items()})
    tests_with = Counter(prompt for rows in points.values() for prompt in {row.prompt for row in rows})
    items = [
        _item(conversation, points[conversation.case.id], tests_with)
        for conversation in conversations
        if not conversation.derived
    ]
    chosen = split(items, train_fraction, seed)
    train = [point for test in chosen.train for point in points[test]]
    kept, left_out = without_leaks(train, [point for test in chosen.validation for point in points[test]])
    return Divided(chosen, tuple(train), tuple(kept), tuple(left_out))


def _item(conversation: AnnotatedConversation, rows: Sequence[DataPoint], tests_with: Counter[str]) -> Item:
    """A test for the split. Only rows no other test has are counted: the others may have to be left out of validation."""
    own = [row for row in rows if tests_with[row.prompt] == 1]
    counted = inventory(own)
    return Item(
        id=conversation.case.id,
        size=len(rows),
        holds={thing: counted[thing] for thing in inventory(rows)},
        group=duplicate_key(conversation),
        combinations=combinations(own),
    )
