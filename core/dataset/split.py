"""Train and validation, by whole tests.

Everything starts in train; tests move to validation while each thing they hold (a command, a flow, a slot) is still
held by a test that stays. So validation never asks for what train has not shown, whatever the data. Which test moves
next is chosen greedily so that the validation share of each thing comes close to the share wanted overall (after
Sechidis et al. 2011, "On the stratification of multi-label data", with groups in the place of examples), then tests change
sides in pairs as long as that brings the shares closer. Combinations of things in one row count too (as the label pairs of
Szymański and Kajdanowicz 2017): a flow whose openings fill two slots at once should not be on one side only.
"""

from __future__ import annotations

import math
import random
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Item:
    """A test, as far as the split is concerned."""

    id: str
    size: int
    """Data points."""
    holds: Mapping[str, int]
    """What train must have if the data has it, and in how many data points: "command set slot", "flow book_pickup"."""
    group: Hashable
    """Tests with the same group (near duplicates) stay together."""
    combinations: Mapping[str, int] = field(default_factory=dict)
    """What is only to be spread evenly: things that stand in one data point together, and in how many."""


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
    holds: frozenset[str]
    points: Counter[str]
    """Thing or combination → data points with it."""
    size: int


class _Chooser:
    def __init__(self, items: Sequence[Item], share: float, seed: int) -> None:
        members: dict[Hashable, list[Item]] = defaultdict(list)
        for item in sorted(items, key=lambda item: item.id):
            members[item.group].append(item)
        self.random = random.Random(seed)
        self.train = [_group(tests) for tests in members.values()]
        self.random.shuffle(self.train)  # decides among equally good choices
        self.validation: list[_Group] = []
        self.share = share
        self.points = sum((group.points for group in self.train), Counter[str]())
        self.holders = Counter(thing for group in self.train for thing in group.holds)
        self.moved: Counter[str] = Counter()
        self.missing = share * sum(group.size for group in self.train)
        """Data points by which validation is still too small; negative when it is too large."""

    def choose(self) -> set[str]:
        """Ids of the tests for validation."""
        while movable := [group for group in self.train if self._may_move(group)]:
            best = min(movable, key=lambda group: self._rise(group.points) / group.size)  # long tests have no advantage
            self._move(best)
        for come, go in self._pairs():
            if self._gains(come, go):
                self._return(go)
                self._move(come)
        return {id for group in self.validation for id in group.ids}

    def _move(self, group: _Group) -> None:
        self.train.remove(group)
        self.validation.append(group)
        self.holders.subtract(group.holds)
        self.moved.update(group.points)
        self.missing -= group.size

    def _return(self, group: _Group) -> None:
        self.validation.remove(group)
        self.train.append(group)
        self.holders.update(group.holds)
        self.moved.subtract(group.points)
        self.missing += group.size

    def _may_move(self, group: _Group) -> bool:
        """True when train keeps another holder of everything, and the sizes come closer to those wanted."""
        return 0 < group.size < 2 * self.missing and all(self.holders[thing] > 1 for thing in group.holds)

    def _pairs(self) -> Iterator[tuple[_Group, _Group]]:
        """(in train, in validation), drawn at random; where the sides are small each pair comes several times."""
        for _ in range(min(_TRIES, 20 * len(self.train) * len(self.validation))):
            yield self.random.choice(self.train), self.random.choice(self.validation)

    def _gains(self, come: _Group, go: _Group) -> bool:
        """True when changing sides keeps the promises and brings shares closer, the sizes not further from those wanted."""
        if not come.size or abs(self.missing + go.size - come.size) > max(abs(self.missing), go.size / 2):
            return False
        if any(self.holders[thing] + (thing in go.holds) <= 1 for thing in come.holds):
            return False
        change = Counter(come.points)
        change.subtract(go.points)
        return self._rise(change) < -1e-9

    def _rise(self, change: Mapping[str, int]) -> float:
        """Rise of the sum of squared distances from the wanted share, when validation changes by so many data points."""
        return math.fsum(  # exact: the order of things, which is another in every process, must not decide between tests
            self._off(thing, self.moved[thing] + points) - self._off(thing, self.moved[thing])
            for thing, points in change.items()
        )

    def _off(self, thing: str, in_validation: int) -> float:
        if not self.points[thing]:
            return 0.0
        absent = _ABSENT if in_validation == 0 and thing in self.holders else 0.0
        return (in_validation / self.points[thing] - self.share) ** 2 + absent


_ABSENT = 0.5
"""What a command, flow or slot that validation does not ask for at all counts; far more than any share that is a little off."""
_TRIES = 40_000
"""Changes of sides that are tried at most: about a second."""


def _group(tests: Sequence[Item]) -> _Group:
    points = Counter[str]()
    for test in tests:
        points.update(test.holds)
        points.update({f"together {name}": count for name, count in test.combinations.items()})
    return _Group(
        frozenset(test.id for test in tests),
        frozenset(thing for test in tests for thing in test.holds),
        points,
        sum(test.size for test in tests),
    )
