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

NEAR = 0.7
"""Likeness from which two tests count as the same one: they differ in a number, a name or an ending of a word."""
_ROWS_AT_ONCE = 512
"""Bounds the memory of a product: so many texts against all others."""


@dataclass(frozen=True)
class Nearest:
    """A text of one side with the text of the other side that is most like it."""

    id: str
    other: str
    distance: float
    """0 (the same trigrams) to 1 (none in common)."""


def near_duplicates(texts: Mapping[str, str], near: float = NEAR) -> dict[str, int]:
    """Id → number of its group. Texts are in one group when a chain of texts that are each at least `near` alike joins them."""
    if not texts:
        return {}
    import numpy as np
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    said = list(texts.values())
    pairs = [np.zeros((2, 0), dtype=np.int64)]
    for start, likeness in _likeness(said, said):
        rows, columns = np.nonzero(likeness >= near)
        pairs.append(np.stack([rows + start, columns]))
    one, other = np.concatenate(pairs, axis=1)
    graph = coo_array((np.ones(len(one), dtype=np.int8), (one, other)), shape=(len(said), len(said)))
    _, labels = connected_components(graph, directed=False)
    return dict(zip(texts, map(int, labels), strict=True))


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
