"""Train and validation, by whole tests.

Everything starts in train; tests move to validation while each thing they hold (a command, a flow, a slot) is still
held by a test that stays. So validation never asks for what train has not shown, whatever the data. Which test moves
next is chosen greedily so that the validation share of each thing comes close to the share wanted overall (after
Sechidis et al. 2011, "On the stratification of multi-label data", with groups in the place of examples).
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Item:
    """A test, as far as the split is concerned."""

    id: str
    size: int
    """Data points."""
    holds: frozenset[str]
    """What train must have if the data has it: "command set slot", "flow book_pickup", "slot pickup_day"."""
    group: Hashable
    """Tests with the same group (near duplicates) stay together."""


@dataclass(frozen=True)
class Split:
    train: tuple[str, ...]
    """Ids, in the order given."""
    validation: tuple[str, ...]
    train_fraction: float
    """Share of data points in train, as it came out; 1 without data."""
    only_in_train: tuple[str, ...]
    """What validation does not hold, sorted: too few tests have it, or none fitted."""


def split(items: Sequence[Item], train_fraction: float, seed: int) -> Split:
    """Divide tests so that about `train_fraction` (0 < f ≤ 1) of the data points are in train.

    Pure: the outcome depends on the set of items, the fraction and the seed, not on the order. When few tests share
    what they hold, more may have to stay in train than asked. Raises ValueError for a fraction outside the range or
    an id given twice.
    """
    if not 0 < train_fraction <= 1:
        raise ValueError(f"train fraction {train_fraction} is not above 0 and at most 1")
    if len({item.id for item in items}) != len(items):
        raise ValueError("two items have the same id")
    chosen = _Chooser(items, 1 - train_fraction, seed).choose()
    total = sum(item.size for item in items)
    held_out = sum(item.size for item in items if item.id in chosen)
    in_validation = {thing for item in items if item.id in chosen for thing in item.holds}
    return Split(
        train=tuple(item.id for item in items if item.id not in chosen),
        validation=tuple(item.id for item in items if item.id in chosen),
        train_fraction=1 - held_out / total if total else 1.0,
        only_in_train=tuple(sorted({thing for item in items for thing in item.holds} - in_validation)),
    )


@dataclass(frozen=True)
class _Group:
    """Tests that stay together."""

    ids: frozenset[str]
    points: Counter[str]
    """Thing → data points of the tests that hold it."""
    size: int


class _Chooser:
    def __init__(self, items: Sequence[Item], share: float, seed: int) -> None:
        members: dict[Hashable, list[Item]] = defaultdict(list)
        for item in sorted(items, key=lambda item: item.id):
            members[item.group].append(item)
        self.groups = [_group(tests) for tests in members.values()]
        random.Random(seed).shuffle(self.groups)  # decides among equally good choices
        self.share = share
        self.points = sum((group.points for group in self.groups), Counter[str]())
        self.holders = Counter(thing for group in self.groups for thing in group.points)
        self.moved: Counter[str] = Counter()

    def choose(self) -> set[str]:
        """Ids of the tests for validation."""
        chosen: set[str] = set()
        missing = self.share * sum(group.size for group in self.groups)
        while movable := [group for group in self.groups if self._may_move(group, missing)]:
            best = min(movable, key=self._harm)
            self.groups.remove(best)
            self.holders.subtract(best.points.keys())
            self.moved.update(best.points)
            chosen |= best.ids
            missing -= best.size
        return chosen

    def _may_move(self, group: _Group, missing: float) -> bool:
        """True when train keeps another holder of everything, and the sizes come closer to those wanted."""
        return 0 < group.size < 2 * missing and all(self.holders[thing] > 1 for thing in group.points)

    def _harm(self, group: _Group) -> float:
        """How much further from the wanted share the things of the group would be; negative is a gain.

        The rise of the sum of squares, for each data point moved so that long tests have no advantage.
        """
        rises = (
            self._off(thing, self.moved[thing] + points) - self._off(thing, self.moved[thing])
            for thing, points in group.points.items()
        )
        return sum(rises) / group.size

    def _off(self, thing: str, in_validation: int) -> float:
        return (in_validation / self.points[thing] - self.share) ** 2


def _group(tests: Sequence[Item]) -> _Group:
    points = Counter[str]()
    for test in tests:
        points.update(dict.fromkeys(test.holds, test.size))
    return _Group(frozenset(test.id for test in tests), points, sum(test.size for test in tests))
