"""Token trees: the rows of an optimizer step folded so that a beginning several rows share stands there once.

A row shares a token with another only when both agree on the token *and* on what follows it. So every node of the tree has one next token,
the tree forks one token before the rows differ, and labels are plain positions. Pure Python; no torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True)
class Row:
    """One training row."""

    tokens: Sequence[int]
    labels_from: int
    """Index of the first token that is to be learnt; all before it are prompt. At least 1."""


@dataclass(frozen=True)
class Segment:
    """A run of nodes without a fork."""

    start: int
    """Index of its first node; nodes stand in depth-first order."""
    length: int
    path: tuple[int, ...]
    """Segments above it, root first, as indices into the tree's segments."""


@dataclass(frozen=True)
class Tree:
    """Rows folded together."""

    tokens: tuple[int, ...]
    """Token of each node [nodes]."""
    positions: tuple[int, ...]
    """Distance of each node from the root [nodes]; what a row's position ids would be."""
    segments: tuple[Segment, ...]
    """In the order of their nodes."""
    label_nodes: tuple[int, ...]
    """Node whose hidden state predicts each label [labels]; a node shared by several rows is named once for each."""
    labels: tuple[int, ...]
    """Tokens to be learnt, over all rows, row by row in the order the rows were given [labels]."""
    row_labels: tuple[int, ...]
    """How many of the labels are each row's [rows]."""
    row_segments: tuple[tuple[int, ...], ...]
    """Segments of each row from the root on, in the order the rows were given."""
    plain_tokens: int
    """Tokens of the rows laid side by side; divided by `len(tokens)` it is the saving."""

    def row(self, number: int) -> list[int]:
        """The tokens of a row, read back from the tree."""
        return [token for index in self.row_segments[number] for token in self._tokens_of(self.segments[index])]

    def _tokens_of(self, segment: Segment) -> tuple[int, ...]:
        return self.tokens[segment.start : segment.start + segment.length]


def subtree_ends(segments: Sequence[Segment]) -> list[int]:
    """For each segment, the node behind the last one of its subtree."""
    ends = [segment.start + segment.length for segment in segments]
    last = list(ends)
    for segment, end in zip(segments, ends, strict=True):
        for above in segment.path:
            last[above] = end
    return last


def fold(rows: Sequence[Row]) -> Tree:
    """Fold rows into a tree. Order of the rows does not matter to the tree; empty rows are refused with ValueError."""
    if any(len(row.tokens) < 2 or not 1 <= row.labels_from < len(row.tokens) for row in rows):
        raise ValueError("a row needs at least one prompt token and one label")
    order = sorted(range(len(rows)), key=lambda number: tuple(rows[number].tokens))
    shared = [_shared(rows[one].tokens, rows[other].tokens) for one, other in pairwise(order)]
    builder = _Builder(rows, order, shared)
    if rows:
        builder.grow(0, len(order), 0, ())
    return builder.tree()


def _shared(one: Sequence[int], other: Sequence[int]) -> int:
    """Nodes two rows have in common."""
    limit = min(len(one), len(other))
    common = next((at for at in range(limit) if one[at] != other[at]), limit)
    return common if common == len(one) == len(other) else max(0, common - 1)


class _Builder:
    def __init__(self, rows: Sequence[Row], order: Sequence[int], shared: Sequence[int]) -> None:
        self._rows, self._order, self._shared = rows, order, shared
        self._tokens: list[int] = []
        self._positions: list[int] = []
        self._segments: list[Segment] = []
        self._paths: list[tuple[int, ...]] = [()] * len(rows)

    def grow(self, first: int, last: int, depth: int, path: tuple[int, ...]) -> None:
        """Add the sorted rows `first` to `last`, which share their first `depth` nodes: one segment, then its branches."""
        own = self._rows[self._order[first]].tokens
        end = min(self._shared[first : last - 1], default=len(own))
        if end > depth:
            segment = Segment(len(self._tokens), end - depth, path)
            path = (*path, len(self._segments))
            self._segments.append(segment)
            self._tokens.extend(own[depth:end])
            self._positions.extend(range(depth, end))
        start = first
        for at in range(first, last):
            whole = end == len(self._rows[self._order[at]].tokens)
            if whole:
                self._paths[self._order[at]] = path
            if at + 1 == last or self._shared[at] == end:
                if not whole:
                    self.grow(start, at + 1, end, path)
                start = at + 1

    def tree(self) -> Tree:
        nodes: list[int] = []
        labels: list[int] = []
        for row, path in zip(self._rows, self._paths, strict=True):
            places = [node for index in path for node in self._nodes_of(self._segments[index])]
            nodes.extend(places[row.labels_from - 1 : -1])
            labels.extend(row.tokens[row.labels_from :])
        return Tree(
            tokens=tuple(self._tokens),
            positions=tuple(self._positions),
            segments=tuple(self._segments),
            label_nodes=tuple(nodes),
            labels=tuple(labels),
            row_labels=tuple(len(row.tokens) - row.labels_from for row in self._rows),
            row_segments=tuple(self._paths),
            plain_tokens=sum(len(row.tokens) for row in self._rows),
        )

    def _nodes_of(self, segment: Segment) -> range:
        return range(segment.start, segment.start + segment.length)
