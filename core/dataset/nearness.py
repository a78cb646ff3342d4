"""How near conversations are to each other: groups of near duplicates, and how far one side of a split is from the other.

Likeness is the exact Jaccard index of character trigrams over all that the user says. It comes out of one sparse product, so thousands
of tests take seconds and nothing has to be sketched.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from core.dataset.text import trigrams

if TYPE_CHECKING:
    from numpy.typing import NDArray

LEVELS = (0.7, 0.8, 0.9, 1.0)
"""Likeness from which tests count as the same one, the first that leaves groups small enough to be divided. 0.7: they differ in a number, a
name or the ending of a word. Suites made from templates are alike throughout, and at 0.7 would be one single group."""
_LARGEST_SHARE = 0.2
"""Of all tests, what the largest group may hold; groups of three are always fine."""
_ROWS_AT_ONCE = 512
"""Bounds the memory of a product: so many texts against all others."""


@dataclass(frozen=True)
class Nearest:
    """A text of one side with the text of the other side that is most like it."""

    id: str
    other: str
    distance: float
    """0 (the same trigrams) to 1 (none in common)."""


@dataclass(frozen=True)
class Groups:
    """Texts that are nearly the same, together."""

    of: Mapping[str, int]
    """Id → number of its group."""
    near: float
    """Likeness from which texts were put together."""


def near_duplicates(texts: Mapping[str, str], levels: Sequence[float] = LEVELS) -> Groups:
    """Texts in chains that are alike, at the first of the `levels` (rising) whose groups are small enough, else the last."""
    if not texts:
        return Groups({}, levels[0])
    import numpy as np
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    said = list(texts.values())
    found: list[tuple[NDArray[Any], ...]] = []
    for start, likeness in _likeness(said, said):
        rows, columns = np.nonzero(likeness >= levels[0])
        found.append((rows + start, columns, likeness[rows, columns]))
    one, other, alike = (np.concatenate(parts) for parts in zip(*found, strict=True))
    for near in levels:
        kept = alike >= near
        graph = coo_array((kept[kept], (one[kept], other[kept])), shape=(len(said), len(said)))
        _, labels = connected_components(graph, directed=False)
        if np.bincount(labels).max() <= max(3, _LARGEST_SHARE * len(said)):
            break
    return Groups(dict(zip(texts, map(int, labels), strict=True)), near)


def much_alike(near: float) -> str:
    """What the owner should know when tests are so alike that only a higher level could divide them."""
    return (
        f"many tests differ in little more than a word: only those that are {100 * near:.0f} % alike are kept on one side, so that "
        "the sides can be filled; tests held out show less than they seem to. Write tests that say things in other ways"
    )


def nearest(texts: Mapping[str, str], others: Mapping[str, str]) -> list[Nearest]:
    """For each text the one of the others most like it, the nearest first; empty when either side is."""
    if not texts or not others:
        return []
    ids, names = list(texts), list(others)
    found = []
    for start, likeness in _likeness(list(texts.values()), list(others.values())):
        best = likeness.argmax(axis=1)
        for row, column in enumerate(best):
            found.append(Nearest(ids[start + row], names[column], 1 - float(likeness[row, column])))
    return sorted(found, key=lambda one: (one.distance, one.id))


def _likeness(texts: Sequence[str], others: Sequence[str]) -> Iterator[tuple[int, NDArray[Any]]]:
    """(index of the first text, likeness [texts of this part, others]) for one part of the texts after the other."""
    import numpy as np
    from scipy.sparse import csr_array

    columns: dict[str, int] = {}

    def matrix(of: Sequence[str]) -> Any:
        grams = [[columns.setdefault(gram, len(columns)) for gram in sorted(trigrams(text))] for text in of]
        starts = np.cumsum([0, *map(len, grams)])
        indices = np.fromiter((column for row in grams for column in row), dtype=np.int64, count=int(starts[-1]))
        return np.ones(len(indices), dtype=np.int32), indices, starts

    first, second = matrix(texts), matrix(others)
    width = len(columns)
    left, right = csr_array(first, shape=(len(texts), width)), csr_array(second, shape=(len(others), width)).T.tocsr()
    sizes, other_sizes = np.diff(first[2]), np.diff(second[2])
    for start in range(0, len(texts), _ROWS_AT_ONCE):
        common = (left[start : start + _ROWS_AT_ONCE] @ right).toarray()
        together = sizes[start : start + _ROWS_AT_ONCE, None] + other_sizes[None, :] - common
        yield start, common / np.maximum(together, 1)
