"""The preparation as a whole: rephrase annotated conversations, make rows of them, divide them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from core.dataset.conversation import AnnotatedConversation
from core.dataset.inventory import combinations, inventory
from core.dataset.leakage import said, without_leaks
from core.dataset.nearness import Groups, near_duplicates
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
    """Rows of all sides."""

    split: Split
    train: tuple[DataPoint, ...]
    validation: tuple[DataPoint, ...]
    left_out: tuple[DataPoint, ...] = field(default=())
    """Rows of validation tests that train shows too."""
    golden_tests: tuple[str, ...] = field(default=())
    """Ids of the tests that are set aside; they have no rows."""
    golden: tuple[DataPoint, ...] = field(default=())
    """What their own messages would be as rows: to count what they hold, never to be written."""


def divide(
    conversations: Sequence[AnnotatedConversation],
    engine: Engine,
    renderer: PromptRenderer,
    train_fraction: float,
    seed: int,
    golden: Collection[str] = (),
    groups: Mapping[str, Hashable] | None = None,
) -> Divided:
    """Make rows and split them by whole tests; rows of derived conversations go with their test.

    `golden`: ids of tests that are kept out of both sides. `groups`: test id → its group of near duplicates; found here when None.
    """
    aside = [conversation for conversation in conversations if conversation.case.id in golden]
    learnt = [conversation for conversation in conversations if conversation.case.id not in golden]
    points = _points(learnt, engine, renderer)
    groups = duplicate_groups(conversations).of if groups is None else groups
    chosen = split(_items(learnt, points, groups), train_fraction, seed)
    train = [point for test in chosen.train for point in points[test]]
    kept, left_out = without_leaks(train, [point for test in chosen.validation for point in points[test]])
    originals = [point for conversation in aside for point in data_points(conversation, engine, renderer)]
    return Divided(
        chosen,
        tuple(train),
        tuple(kept),
        tuple(left_out),
        tuple(dict.fromkeys(conversation.case.id for conversation in aside)),
        tuple(originals),
    )


def duplicate_groups(conversations: Iterable[AnnotatedConversation]) -> Groups:
    """Tests in which the user says nearly the same; they stay on one side of every split."""
    return near_duplicates({conversation.case.id: said(conversation.case) for conversation in conversations})


def items_of(
    conversations: Sequence[AnnotatedConversation],
    engine: Engine,
    renderer: PromptRenderer,
    groups: Mapping[str, Hashable],
) -> list[Item]:
    """The tests of conversations, for a split."""
    return _items(conversations, _points(conversations, engine, renderer), groups)


def _points(
    conversations: Sequence[AnnotatedConversation], engine: Engine, renderer: PromptRenderer
) -> dict[str, list[DataPoint]]:
    """Rows by test."""
    points: dict[str, list[DataPoint]] = defaultdict(list)
    for conversation in conversations:
        points[conversation.case.id] += data_points(conversation, engine, renderer)
    return {test: unrepeated(rows) for test, rows in points.items()}


def _items(
    conversations: Sequence[AnnotatedConversation],
    points: Mapping[str, Sequence[DataPoint]],
    groups: Mapping[str, Hashable],
) -> list[Item]:
    tests_with = Counter(prompt for rows in points.values() for prompt in {row.prompt for row in rows})
    tests = [conversation.case.id for conversation in conversations if not conversation.derived]
    return [_item(test, points[test], tests_with, groups[test]) for test in tests]


def _item(test: str, rows: Sequence[DataPoint], tests_with: Counter[str], group: Hashable) -> Item:
    """A test for the split. Only rows no other test has are counted: the others may have to be left out of validation."""
    own = [row for row in rows if tests_with[row.prompt] == 1]
    counted = inventory(own)
    return Item(
        id=test,
        size=len(rows),
        holds={thing: counted[thing] for thing in inventory(rows)},
        group=group,
        combinations=combinations(own),
    )
